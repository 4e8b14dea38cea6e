// SPDX-License-Identifier: MIT
// Separable convolutions in plain float64 loops, as the definitions in kernels/planes/separable.h
// read.
#pragma once

#include "tests/cases/separable.h"
#include "tests/support/reference.h"

namespace drnas::test::separable {

using Filter = SeparableCase::Filter;

struct Result {
  Doubles z, d, u;  // u before the rectifier
};

/// Calls body(place in d, tap, place in x) for every tap that lies inside the image.
template <class Body>
void each_tap(const kernels::Separable& s, const Filter& f, const Body& body) {
  const int pad = f.dilation * (f.kernel - 1) / 2;
  for (int plane = 0; plane < s.n * s.c; ++plane)
    for (int y = 0; y < s.out_h(); ++y)
      for (int x = 0; x < s.out_w(); ++x)
        for (int tap = 0; tap < f.taps(); ++tap) {
          const int row = y * s.stride + tap / f.kernel * f.dilation - pad,
                    column = x * s.stride + tap % f.kernel * f.dilation - pad;
          if (row < 0 || row >= s.h || column < 0 || column >= s.w) continue;
          body((plane * s.out_h() + y) * s.out_w() + x, plane % s.c * f.taps() + tap,
               (plane * s.h + row) * s.w + column);
        }
}

/// Calls body(place in the pointwise weights, place in z, place in d).
template <class Body>
void each_product(const kernels::Separable& s, const Body& body) {
  const int pixels = s.out_h() * s.out_w();
  for (int i = 0; i < s.n; ++i)
    for (int o = 0; o < s.c_out; ++o)
      for (int ch = 0; ch < s.c; ++ch)
        for (int p = 0; p < pixels; ++p)
          body(o * s.c + ch, (i * s.c_out + o) * pixels + p, (i * s.c + ch) * pixels + p);
}

inline Result forward(const SeparableCase& c, const Filter& f) {
  Result r{Doubles(c.z_count(), 0.0), Doubles(c.out_pixels() * c.shape.c, 0.0), c.normalised(f)};
  each_tap(c.shape, f, [&](int d, int tap, int x) {
    r.d[d] += f.depthwise[tap] * (r.u[x] < 0 ? 0.0 : r.u[x]);
  });
  each_product(c.shape, [&](int weight, int z, int d) { r.z[z] += f.pointwise[weight] * r.d[d]; });
  return r;
}

/// dz of one filter.
inline Doubles raw_gradient(const SeparableCase& c, const Filter& f) {
  const std::size_t pixels = static_cast<std::size_t>(c.shape.out_h()) * c.shape.out_w(),
                    c_out = c.shape.c_out;
  Doubles dz(f.z.size());
  for (std::size_t i = 0; i < dz.size(); ++i) {
    const std::size_t plane = i / pixels, o = plane % c_out;
    dz[i] = f.g[plane * f.step * pixels + i % pixels];
    if (!f.coefficients.empty())
      dz[i] = f.coefficients[o] * dz[i] + f.coefficients[c_out + o] * f.z[i] +
              f.coefficients[2 * c_out + o];
  }
  return dz;
}

struct Gradients {
  Doubles dx, depthwise, pointwise;
  Doubles dgamma, dbeta, x;  // of a normalised input; x: through the statistics as well
};

inline Gradients backward(const SeparableCase& c, const Filter& f, const Doubles& dz) {
  const Result r = forward(c, f);
  Gradients g{Doubles(f.x.size(), 0.0),
              Doubles(f.depthwise.size(), 0.0),
              Doubles(f.pointwise.size(), 0.0),
              {},
              {},
              {}};
  Doubles dd(r.d.size(), 0.0);
  each_product(c.shape, [&](int weight, int z, int d) {
    g.pointwise[weight] += dz[z] * r.d[d];
    dd[d] += f.pointwise[weight] * dz[z];
  });
  each_tap(c.shape, f, [&](int d, int tap, int x) {
    if (r.u[x] <= 0) return;
    g.depthwise[tap] += dd[d] * r.u[x];
    if (r.u[x] > 0) g.dx[x] += f.depthwise[tap] * dd[d];  // a NaN has no gradient
  });
  return g;
}

/// What dx gives to the input's normalisation: dx, and the gradient of x with statistics that are
/// x's own.
inline void normalised_input(const kernels::Separable& s, const Filter& f, Gradients& g) {
  const std::size_t plane = static_cast<std::size_t>(s.h) * s.w;
  const double count = static_cast<double>(s.n) * static_cast<double>(plane);
  g.dgamma.assign(s.c, 0.0);
  g.dbeta.assign(s.c, 0.0);
  const auto hat = [&](std::size_t i) {
    const std::size_t ch = i / plane % s.c;
    return (f.x[i] - f.mean[ch]) * f.inv_std[ch];
  };
  for (std::size_t i = 0; i < f.x.size(); ++i) {
    g.dgamma[i / plane % s.c] += g.dx[i] * hat(i);
    g.dbeta[i / plane % s.c] += g.dx[i];
  }
  g.x.resize(f.x.size());
  for (std::size_t i = 0; i < f.x.size(); ++i) {
    const std::size_t ch = i / plane % s.c;
    g.x[i] = (f.gamma.empty() ? 1 : f.gamma[ch]) * f.inv_std[ch] *
             (g.dx[i] - g.dbeta[ch] / count - hat(i) * g.dgamma[ch] / count);
  }
}

}  // namespace drnas::test::separable
