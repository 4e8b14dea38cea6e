// SPDX-License-Identifier: MIT
// What tests of nodes whose mix and bundle are one launch share.
#pragma once

#include "kernels/bundle/bundle_tiling.h"
#include "tests/cuda/number_kinds.h"
#include "tests/kernels/bundle/conv_bundle_checks.h"
#include "tests/kernels/bundle/node_mix_checks.h"

namespace drnas::test {

/// Calls body.template operator()<T>() for a case in all kinds of numbers.
template <class Case, class Body>
void in_each_kind(const Case& c, const Body& body) {
  capture_and(c.bundle.bundle, [&] {
    CAPTURE(c.mix.terms.size());
    CAPTURE(c.mix.sources.size());
    each_number_kind([&](const NumberKind& kind) {
      kind.narrow ? body.template operator()<bfloat16>() : body.template operator()<float>();
    });
  });
}

/// Calls body(case) for cases of the bundles in turn, by each tile of at most `most_n` eights of
/// columns; mixes of up to six terms and three sources.
template <class Case, std::size_t count, class Body>
void each_joined_node(Rng& rng, const ConvBundle (&bundles)[count], int most_n, const Body& body) {
  std::size_t at = 0;
  for (const int m : {1, 2, 4})
    for (const int n : {1, 2, 4, 6}) {
      if (n > most_n) continue;
      const kernels::BundleTile tile{m, n};
      kernels::prefer_bundle_tile(&tile);
      const int terms = static_cast<int>(rng() % 7), sources = static_cast<int>(rng() % 4);
      body(Case(rng, bundles[at++ % count], terms, sources));
    }
  kernels::prefer_bundle_tile(nullptr);
}

/// Kernels that a call starts.
#ifdef DRNAS_SIMT
template <class Case>
std::int64_t started(const Case& c) {
  Buffers<Device::cuda> buffers;
  const Call call = c.run(buffers);
  const std::int64_t before = simt::counts().kernels;
  call.run(nullptr);
  return simt::counts().kernels - before;
}
#endif

}  // namespace drnas::test
