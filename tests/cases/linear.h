// SPDX-License-Identifier: MIT
// Calls of kernels/layers/linear.h.
#pragma once

#include "kernels/layers/linear.h"
#include "tests/cases/buffers.h"

namespace drnas::test {

struct LinearCase {
  kernels::Linear p;
  bool biased;
  Doubles x, w, b, dy, dx;  ///< dx: what is there before

  LinearCase(Rng& rng, const kernels::Linear& shape, bool with_bias = true)
      : p(shape),
        biased(with_bias),
        x(normals(rng, std::int64_t{p.n} * p.in)),
        w(normals(rng, std::int64_t{p.out} * p.in)),
        b(normals(rng, p.out)),
        dy(normals(rng, std::int64_t{p.n} * p.out)),
        dx(normals(rng, std::int64_t{p.n} * p.in)) {}
  double flops() const { return 2.0 * p.n * p.in * p.out; }

  template <Device D>
  Call forward(Buffers<D>& buffers) const {
    const float *in = buffers.input(x), *weight = buffers.input(w),
                *bias = biased ? buffers.input(b) : nullptr;
    float* y = buffers.output("y", static_cast<std::int64_t>(dy.size()));
    return buffers.call(flops(), [=, p = p](kernels::Stream stream) {
      kernels::linear_forward<D>(p, in, weight, bias, y, stream);
    });
  }
  /// Results: dx, dw, and db where there is a bias.
  template <Device D>
  Call backward(Buffers<D>& buffers, bool accumulate) const {
    const float *in = buffers.input(x), *weight = buffers.input(w), *d = buffers.input(dy);
    float* to_x = buffers.output("dx", dx, accumulate);
    float* dw = buffers.output("dw", static_cast<std::int64_t>(w.size()));
    float* db = biased ? buffers.output("db", p.out) : nullptr;
    return buffers.call(2 * flops(), [=, p = p](kernels::Stream stream) {
      kernels::linear_backward_data<D>(p, d, weight, to_x, accumulate, stream);
      kernels::linear_backward_weight<D>(p, in, d, dw, db, stream);
    });
  }
};

}  // namespace drnas::test
