// SPDX-License-Identifier: MIT
// 1x1 convolutions on planes in float64.
#pragma once

#include "tests/cases/conv1x1_planes.h"
#include "tests/support/calls.h"
#include "tests/support/reference.h"

namespace drnas::test {

/// Calls body(channel of y, channel of x, place in y, place in x) for every product of an output.
template <class Body>
void each_product(const Conv1x1Case& c, int o, const Body& body) {
  const kernels::Conv1x1Planes& p = c.p;
  const PlaneShape in = c.in(), out = c.out(o);
  out.each([&](int image, int to, std::int64_t i) {
    const std::int64_t q = i % out.pixels, row = q / p.out_w() * p.stride + p.offset[o],
                       column = q % p.out_w() * p.stride + p.offset[o];
    for (int k = 0; k < p.c_in; ++k) body(to, k, i, in.at(image, k, row * p.w + column));
  });
}

/// What is multiplied.
inline double masked(const Conv1x1Case& c, double x) { return c.p.relu && !(x > 0) ? 0.0 : x; }

inline Doubles conv1x1_forward(const Conv1x1Case& c, int o, const Doubles& x) {
  Doubles y(c.dy[o].size(), 0.0);
  each_product(c, o, [&](int to, int from, std::int64_t i, std::int64_t j) {
    y[i] += c.weight[o][to * c.p.c_in + from] * masked(c, x[j]);
  });
  return y;
}
inline Doubles conv1x1_backward_data(const Conv1x1Case& c, bool accumulate) {
  Doubles dx = accumulate ? c.dx : Doubles(c.x.size(), 0.0);
  for (int o = 0; o < c.p.outputs; ++o)
    each_product(c, o, [&](int to, int from, std::int64_t i, std::int64_t j) {
      if (!c.p.relu || c.x[j] > 0) dx[j] += c.weight[o][to * c.p.c_in + from] * c.dy[o][i];
    });
  return dx;
}
inline Doubles conv1x1_backward_weight(const Conv1x1Case& c, int o) {
  Doubles dw(c.weight[o].size(), 0.0);
  each_product(c, o, [&](int to, int from, std::int64_t i, std::int64_t j) {
    dw[to * c.p.c_in + from] += masked(c, c.x[j]) * c.dy[o][i];
  });
  return dw;
}

/// Compares with float64; `tolerance(terms)` bounds the error of a sum against its usual size.
template <class Run, class Tolerance>
void check_conv1x1(const Run& run, const Conv1x1Case& c, const Conv1x1Case::Wanted& wanted,
                   const Tolerance& tolerance) {
  INFO(c.p.n, " x [", c.p.c_in, ", ", c.p.h, ", ", c.p.w, "], stride ", c.p.stride, ", outputs ",
       c.p.outputs, ", relu ", c.p.relu, "; dx ", wanted.dx, ", accumulate ", wanted.accumulate,
       ", dweight ", wanted.dweight);
  const Results y = run([&](auto& b) { return c.forward(b); });
  const Results gradients = run([&](auto& b) { return c.backward(b, wanted); });
  const auto close = [&](const Doubles& got, const Doubles& expected, double terms) {
    CHECK(max_error(got, expected, std::sqrt(terms)) < tolerance(terms));
  };
  double channels = 1;
  for (int o = 0; o < c.p.outputs; ++o) {
    CAPTURE(o);
    close(y.at("y " + std::to_string(o)), conv1x1_forward(c, o, c.x), c.p.c_in);
    close(gradients.at("dweight " + std::to_string(o)),
          wanted.weight(o) ? conv1x1_backward_weight(c, o) : c.weight[o],
          static_cast<double>(c.p.n * c.out(o).pixels));
    channels += c.p.c_out[o];
  }
  close(gradients.at("dx"), wanted.dx ? conv1x1_backward_data(c, wanted.accumulate) : c.dx,
        channels);
}

struct Conv1x1Sizes {
  std::initializer_list<int> n, c_in, c_out, h, w;
};
inline kernels::Conv1x1Planes random_conv1x1(Rng& rng, const Conv1x1Sizes& of) {
  kernels::Conv1x1Planes p{};
  p.n = pick(rng, of.n);
  p.c_in = pick(rng, of.c_in);
  p.stride = pick(rng, {1, 2});
  p.h = pick(rng, of.h) * p.stride;
  p.w = pick(rng, of.w) * p.stride;
  p.relu = pick(rng, {0, 1}) != 0;
  p.outputs = pick(rng, {1, 2, 3, 4});
  for (int o = 0; o < p.outputs; ++o) {
    p.c_out[o] = pick(rng, of.c_out);
    p.offset[o] = p.stride == 1 ? 0 : pick(rng, {0, 1});
  }
  return p;
}

}  // namespace drnas::test
