// SPDX-License-Identifier: MIT
// Calls of kernels/train/drop_path.h.
#pragma once

#include "kernels/train/drop_path.h"
#include "tests/cases/buffers.h"

namespace drnas::test {

struct DropPathCase {
  int operations, images;
  float probability;
  std::uint32_t step;
  std::uint64_t seed = 5;

  template <Device D>
  Call scales(Buffers<D>& b) const {
    const kernels::DropPath p{operations, images, seed, b.input(std::vector{probability}),
                              b.template input<std::uint32_t>(std::vector{step})};
    float* scale = b.output("scale", std::int64_t{operations} * images);
    return b.call(0,
                  [=](kernels::Stream stream) { kernels::drop_path_scales<D>(p, scale, stream); });
  }
};

}  // namespace drnas::test
