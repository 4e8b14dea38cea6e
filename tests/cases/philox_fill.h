// SPDX-License-Identifier: MIT
// Calls of kernels/random/philox_fill.h.
#pragma once

#include "kernels/random/philox_fill.h"
#include "tests/cases/buffers.h"

namespace drnas::test {

struct PhiloxFillCase {
  std::int64_t n;
  float first, second;  ///< bounds of a uniform fill; mean and deviation of a normal one
  std::uint64_t seed;
  std::uint32_t step;

  template <Device D>
  Call uniform(Buffers<D>& b) const {
    float* out = b.output("out", n);
    return b.call(0, [=, c = *this](kernels::Stream stream) {
      kernels::fill_uniform<D>(out, c.n, c.first, c.second, c.seed, kernels::Purpose::init, c.step,
                               stream);
    });
  }
  template <Device D>
  Call normal(Buffers<D>& b) const {
    float* out = b.output("out", n);
    return b.call(0, [=, c = *this](kernels::Stream stream) {
      kernels::fill_normal<D>(out, c.n, c.first, c.second, c.seed, kernels::Purpose::init, c.step,
                              stream);
    });
  }
};

}  // namespace drnas::test
