// SPDX-License-Identifier: MIT
// 1x1 convolutions on planes in float64, and random cases of them, for the tests of both twins.
#pragma once

#include <string>
#include <vector>

#include "kernels/planes/conv1x1_planes.h"
#include "tests/support/reference.h"

namespace drnas::test {

/// Tensors of one call, images one after the other with `gap` more elements between them.
struct Conv1x1Case {
  static constexpr int max_outputs = kernels::Conv1x1Planes::max_outputs;

  kernels::Conv1x1Planes p;
  std::int64_t gap;
  Doubles x, dx;  ///< dx: what is there before
  std::vector<Doubles> weight, dy;

  Conv1x1Case(const kernels::Conv1x1Planes& shape, std::int64_t gap, std::uint64_t seed)
      : p(shape), gap(gap) {
    auto rng = generator(seed);
    x = normals(rng, p.n * x_stride());
    for (std::size_t i = 0; i < x.size(); i += 5) x[i] = 0.0;  // where ReLU bends
    dx = normals(rng, p.n * x_stride());
    for (int o = 0; o < p.outputs; ++o) {
      weight.push_back(normals(rng, std::int64_t{p.c_out[o]} * p.c_in));
      dy.push_back(normals(rng, p.n * y_stride(o)));
    }
  }
  std::int64_t x_stride() const { return std::int64_t{p.c_in} * p.h * p.w + gap; }
  std::int64_t pixels() const { return std::int64_t{p.out_h()} * p.out_w(); }
  std::int64_t y_stride(int o) const { return p.c_out[o] * pixels() + gap; }
  /// Place in x of channel k at output pixel q of output o.
  std::int64_t x_at(int o, int n, int k, std::int64_t q) const {
    const std::int64_t row = q / p.out_w() * p.stride + p.offset[o],
                       column = q % p.out_w() * p.stride + p.offset[o];
    return n * x_stride() + (std::int64_t{k} * p.h + row) * p.w + column;
  }
  double u(double value) const { return p.relu && !(value > 0) ? 0.0 : value; }
  std::string text() const {
    std::string t = std::to_string(p.n) + " x [" + std::to_string(p.c_in) + ", " +
                    std::to_string(p.h) + ", " + std::to_string(p.w) + "], stride " +
                    std::to_string(p.stride) + ", gap " + std::to_string(gap) +
                    (p.relu ? ", relu ->" : " ->");
    for (int o = 0; o < p.outputs; ++o)
      t += " " + std::to_string(p.c_out[o]) + "@" + std::to_string(p.offset[o]);
    return t;
  }

  /// y of output o for pixels `x`; gaps hold `between`.
  Doubles forward(int o, const Doubles& pixels_of_x, double between) const {
    Doubles y(static_cast<std::size_t>(p.n * y_stride(o)), between);
    for (int n = 0; n < p.n; ++n)
      for (int c = 0; c < p.c_out[o]; ++c)
        for (std::int64_t q = 0; q < pixels(); ++q) {
          double sum = 0;
          for (int k = 0; k < p.c_in; ++k)
            sum += weight[o][std::int64_t{c} * p.c_in + k] * u(pixels_of_x[x_at(o, n, k, q)]);
          y[n * y_stride(o) + c * pixels() + q] = sum;
        }
    return y;
  }
  /// dx after the call; gaps stay as they were.
  Doubles backward_data(bool accumulate) const {
    Doubles sum = dx;
    for (int n = 0; n < p.n && !accumulate; ++n)
      std::fill_n(sum.begin() + n * x_stride(), x_stride() - gap, 0.0);
    for (int o = 0; o < p.outputs; ++o)
      for (int n = 0; n < p.n; ++n)
        for (int c = 0; c < p.c_out[o]; ++c)
          for (std::int64_t q = 0; q < pixels(); ++q)
            for (int k = 0; k < p.c_in; ++k) {
              const std::int64_t at = x_at(o, n, k, q);
              if (p.relu && !(x[at] > 0)) continue;
              sum[at] += weight[o][std::int64_t{c} * p.c_in + k] *
                         dy[o][n * y_stride(o) + c * pixels() + q];
            }
    return sum;
  }
  Doubles backward_weight(int o) const {
    Doubles sum(weight[o].size());
    for (int n = 0; n < p.n; ++n)
      for (int c = 0; c < p.c_out[o]; ++c)
        for (std::int64_t q = 0; q < pixels(); ++q)
          for (int k = 0; k < p.c_in; ++k)
            sum[std::int64_t{c} * p.c_in + k] +=
                u(x[x_at(o, n, k, q)]) * dy[o][n * y_stride(o) + c * pixels() + q];
    return sum;
  }
  /// Products summed for an element of dx.
  double data_terms() const {
    double terms = 1;
    for (int o = 0; o < p.outputs; ++o) terms += p.c_out[o];
    return terms;
  }
};

}  // namespace drnas::test
