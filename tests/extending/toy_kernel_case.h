// SPDX-License-Identifier: MIT
// Calls of toy_kernel.h, for the tests of both twins.
#pragma once

#include "tests/cases/buffers.h"
#include "tests/extending/toy_kernel.h"

namespace drnas::test {

struct PathDrawCase {
  int edges, ops;
  std::uint32_t step = 0;
  std::vector<std::uint8_t> kept = {};  ///< empty: all

  template <Device D>
  Call paths(Buffers<D>& b) const {
    const toys::PathDraw p{edges, ops, 7, b.template input<std::uint32_t>(std::vector{step}),
                           b.template input<std::uint8_t>(kept)};
    double* theta = b.template output<double>("theta", std::int64_t{edges} * ops);
    return b.call(0, [=](kernels::Stream stream) { toys::draw_paths<D>(p, theta, stream); });
  }
};

}  // namespace drnas::test
