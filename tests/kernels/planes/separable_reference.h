// SPDX-License-Identifier: MIT
// Separable convolutions in plain float64 loops, as the definitions in kernels/planes/separable.h
// read.
#pragma once

#include <cmath>
#include <vector>

#include "kernels/planes/separable.h"
#include "tests/support/reference.h"

namespace drnas::test::separable {

/// One filter with its dense inputs. Empty: absent.
struct Filter {
  int kernel, dilation;
  Doubles x;                           // [n, c, h, w]
  Doubles mean, inv_std, gamma, beta;  // [c]
  Doubles depthwise, pointwise;

  int pad() const { return dilation * (kernel - 1) / 2; }
};

struct Result {
  Doubles z, d, u;  // u before the rectifier
};

/// Calls body(image, channel, output row, column, tap row, column, place in x) for every tap that
/// lies inside the image.
template <class Body>
void each_tap(const kernels::Separable& s, const Filter& f, const Body& body) {
  for (int i = 0; i < s.n; ++i)
    for (int ch = 0; ch < s.c; ++ch)
      for (int y = 0; y < s.out_h(); ++y)
        for (int x = 0; x < s.out_w(); ++x)
          for (int a = 0; a < f.kernel; ++a)
            for (int b = 0; b < f.kernel; ++b) {
              const int row = y * s.stride + a * f.dilation - f.pad(),
                        column = x * s.stride + b * f.dilation - f.pad();
              if (row < 0 || row >= s.h || column < 0 || column >= s.w) continue;
              const std::size_t plane = static_cast<std::size_t>(i) * s.c + ch;
              body((plane * s.out_h() + y) * s.out_w() + x,
                   (static_cast<std::size_t>(ch) * f.kernel + a) * f.kernel + b,
                   (plane * s.h + row) * s.w + column);
            }
}

/// Calls body(output channel, channel, place in z, place in d).
template <class Body>
void each_product(const kernels::Separable& s, const Body& body) {
  const std::size_t pixels = static_cast<std::size_t>(s.out_h()) * s.out_w();
  for (int i = 0; i < s.n; ++i)
    for (int o = 0; o < s.c_out; ++o)
      for (int ch = 0; ch < s.c; ++ch)
        for (std::size_t p = 0; p < pixels; ++p)
          body(o, ch, (static_cast<std::size_t>(i) * s.c_out + o) * pixels + p,
               (static_cast<std::size_t>(i) * s.c + ch) * pixels + p);
}

inline std::size_t z_count(const kernels::Separable& s) {
  return static_cast<std::size_t>(s.n) * s.c_out * s.out_h() * s.out_w();
}

/// What the rectifier reads.
inline Doubles normalised(const kernels::Separable& s, const Filter& f) {
  Doubles u = f.x;
  const std::size_t plane = static_cast<std::size_t>(s.h) * s.w;
  for (std::size_t i = 0; i < u.size() && !f.mean.empty(); ++i) {
    const std::size_t ch = i / plane % s.c;
    u[i] = (f.gamma.empty() ? 1 : f.gamma[ch]) * (f.x[i] - f.mean[ch]) * f.inv_std[ch] +
           (f.beta.empty() ? 0 : f.beta[ch]);
  }
  return u;
}

inline Result forward(const kernels::Separable& s, const Filter& f) {
  Result r;
  r.u = normalised(s, f);
  r.d.assign(z_count(s) / s.c_out * s.c, 0.0);
  each_tap(s, f, [&](std::size_t d, std::size_t tap, std::size_t x) {
    r.d[d] += f.depthwise[tap] * std::max(0.0, r.u[x]);
  });
  r.z.assign(z_count(s), 0.0);
  each_product(s, [&](int o, int ch, std::size_t z, std::size_t d) {
    r.z[z] += f.pointwise[static_cast<std::size_t>(o) * s.c + ch] * r.d[d];
  });
  return r;
}

struct Gradients {
  Doubles dx, depthwise, pointwise;
  Doubles dgamma, dbeta, x;  // of a normalised input; x: through the statistics as well
};

inline Gradients backward(const kernels::Separable& s, const Filter& f, const Doubles& dz) {
  const Result r = forward(s, f);
  Gradients g;
  g.pointwise.assign(f.pointwise.size(), 0.0);
  Doubles dd(r.d.size(), 0.0);
  each_product(s, [&](int o, int ch, std::size_t z, std::size_t d) {
    const std::size_t at = static_cast<std::size_t>(o) * s.c + ch;
    g.pointwise[at] += dz[z] * r.d[d];
    dd[d] += f.pointwise[at] * dz[z];
  });
  g.depthwise.assign(f.depthwise.size(), 0.0);
  g.dx.assign(f.x.size(), 0.0);
  each_tap(s, f, [&](std::size_t d, std::size_t tap, std::size_t x) {
    if (r.u[x] <= 0) return;
    g.depthwise[tap] += dd[d] * r.u[x];
    g.dx[x] += f.depthwise[tap] * dd[d];
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
