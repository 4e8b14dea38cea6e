// SPDX-License-Identifier: MIT
// A kernel of one's own, with its twins. docs/extending.md walks through it.
#pragma once

#include <cstdint>

#include "kernels/core/device.h"
#include "kernels/random/philox.h"

namespace drnas::toys {

/// Chooses one of the kept operations of each edge at random, all alike. u in [0, 1) is word 0 of
/// the block of element `edge`, n the number of kept operations:
///   theta[edge*ops + op] = op is number floor(u * n) of them ? 1 : 0
/// Deterministic; no gradient.
struct PathDraw {
  int edges, ops;
  std::uint64_t seed;
  const std::uint32_t* step;  ///< [1], in the device's memory: number of the draw
  const std::uint8_t* kept;   ///< [edges, ops], 0: pruned; null: all are kept
};
/// theta: [edges, ops] float64.
template <Device D>
void draw_paths(const PathDraw& p, double* theta, kernels::Stream stream);

/// Element `index` of theta.
DRNAS_HD inline double random_path(const PathDraw& p, const kernels::RandomStream& stream,
                                   int index) {
  const int edge = index / p.ops, op = index % p.ops;
  const auto kept = [&](int o) { return p.kept == nullptr || p.kept[edge * p.ops + o] != 0; };
  int count = 0;
  for (int o = 0; o < p.ops; ++o) count += kept(o);
  const float u = stream.uniform(*p.step, static_cast<std::uint32_t>(edge));
  int before = static_cast<int>(u * static_cast<float>(count));
  for (int o = 0; o < op; ++o) before -= kept(o);
  return kept(op) && before == 0 ? 1.0 : 0.0;
}

}  // namespace drnas::toys
