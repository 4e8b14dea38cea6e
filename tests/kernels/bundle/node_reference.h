// SPDX-License-Identifier: MIT
// Convolution bundles and node mixes in float64, pass by pass, each element with a bound on what
// float32 may lose.
#pragma once

#include "tests/cases/node_mix.h"
#include "tests/support/calls.h"
#include "tests/support/reference.h"

namespace drnas::test {

/// z [pixels, rows] = weight [rows, k, k, c] * relu(first c channels of x).
inline Bounded convolve(const Images& g, const Doubles& x, const Doubles& weight, int rows, int k) {
  Bounded z(g.pixels() * rows);
  g.each_neighbour(k, [&](std::int64_t p, std::int64_t q, int tap) {
    for (int o = 0; o < rows; ++o)
      for (int a = 0; a < g.c; ++a)
        z.add(p * rows + o, weight[(std::int64_t{o} * k * k + tap) * g.c + a] *
                                std::max(0.0, x[q * g.channels + a]));
  });
  return z;
}

/// Adjoint of convolve: adds to dx [pixels, channels], returns dweight. dz comes with its own
/// magnitudes.
inline Bounded convolve_adjoint(const Images& g, const Doubles& x, const Doubles& weight, int rows,
                                int k, const Bounded& dz, Bounded& dx) {
  Bounded dweight(static_cast<std::int64_t>(weight.size()));
  g.each_neighbour(k, [&](std::int64_t p, std::int64_t q, int tap) {
    for (int o = 0; o < rows; ++o)
      for (int a = 0; a < g.c; ++a) {
        const double value = dz.value[p * rows + o], size = dz.magnitude[p * rows + o],
                     u = x[q * g.channels + a];
        const std::int64_t at = (std::int64_t{o} * k * k + tap) * g.c + a;
        if (u <= 0) continue;
        dx.add(q * g.channels + a, value * weight[at], size * std::abs(weight[at]));
        dweight.add(at, value * u, size * u);
      }
  });
  return dweight;
}

/// Adds to dx what the identity, the average pool and the bypass of one edge send back from dy
/// (shuffled).
inline void add_pass_through(const Images& g, const Doubles& dy, double skip, double pool,
                             Bounded& dx) {
  for (std::int64_t p = 0; p < g.pixels(); ++p)
    for (int ch = 0; ch < g.channels; ++ch)
      dx.add(p * g.channels + ch, (ch < g.c ? skip : 1.0) * dy[p * g.channels + g.shuffled(ch)]);
  g.each_neighbour(3, [&](std::int64_t p, std::int64_t q, int) {
    for (int ch = 0; ch < g.c; ++ch)
      dx.add(q * g.channels + ch, pool * dy[p * g.channels + g.shuffled(ch)] / g.window(p));
  });
}

struct MixReference : Mix {
  double weight(int index) const { return index < 0 ? 0.0 : theta[index]; }

  Bounded forward() const {
    Bounded y(g.count());
    const auto at = [&](std::int64_t p, int channel) {
      return p * g.channels + g.shuffled(channel);
    };
    for (std::int64_t p = 0; p < g.pixels(); ++p)
      for (int ch = 0; ch < g.channels; ++ch) {
        for (const MixSource& s : sources)
          y.add(at(p, ch), (ch < g.c ? weight(s.skip_theta) : 1.0) * s.x[p * g.channels + ch]);
        for (const MixTerm& t : terms) {
          if (ch >= g.c) break;
          const double scale = weight(t.theta) * t.inv_std[ch], z = t.z[p * g.c + ch];
          y.add(at(p, ch), scale * (z - t.mean[ch]),
                std::abs(scale) * (std::abs(z) + std::abs(t.mean[ch])));
        }
      }
    g.each_neighbour(3, [&](std::int64_t p, std::int64_t q, int) {
      for (const MixSource& s : sources)
        for (int ch = 0; ch < g.c; ++ch)
          y.add(at(p, ch), weight(s.pool_theta) * s.x[q * g.channels + ch] / g.window(p));
    });
    return y;
  }

  struct Gradients {
    Bounded theta;
    std::vector<Bounded> z;
  };
  Gradients backward(const Doubles& dy) const {
    Gradients d{Bounded(static_cast<std::int64_t>(theta.size())), {}};
    const auto mixed = [&](std::int64_t p, int ch) { return dy[p * g.channels + g.shuffled(ch)]; };
    for (const MixSource& s : sources) {
      for (std::int64_t p = 0; p < g.pixels() && s.skip_theta >= 0; ++p)
        for (int ch = 0; ch < g.c; ++ch)
          d.theta.add(s.skip_theta, mixed(p, ch) * s.x[p * g.channels + ch]);
      if (s.pool_theta >= 0)
        g.each_neighbour(3, [&](std::int64_t p, std::int64_t q, int) {
          for (int ch = 0; ch < g.c; ++ch)
            d.theta.add(s.pool_theta, mixed(p, ch) * s.x[q * g.channels + ch] / g.window(p));
        });
    }
    for (const MixTerm& t : terms) d.z.push_back(normalised_backward(t, mixed, d.theta));
    return d;
  }

 private:
  /// Batch norm's gradient as Ioffe and Szegedy 2015 give it, times theta; adds to dtheta.
  template <class Mixed>
  Bounded normalised_backward(const MixTerm& t, const Mixed& dy, Bounded& dtheta) const {
    Bounded dz(g.pixels() * g.c);
    const double m = static_cast<double>(g.pixels());
    for (int ch = 0; ch < g.c; ++ch) {
      const auto hat = [&](std::int64_t p) {
        return (t.z[p * g.c + ch] - t.mean[ch]) * t.inv_std[ch];
      };
      double sum = 0, sum_size = 0, product = 0, product_size = 0;
      for (std::int64_t p = 0; p < g.pixels(); ++p) {
        sum += dy(p, ch);
        sum_size += std::abs(dy(p, ch));
        product += dy(p, ch) * hat(p);
        product_size += std::abs(dy(p, ch) * hat(p));
      }
      dtheta.add(t.theta, product, product_size);
      const double scale = theta[t.theta] * t.inv_std[ch],
                   far = std::abs(t.mean[ch]) * t.inv_std[ch];
      for (std::int64_t p = 0; p < g.pixels(); ++p)
        dz.add(p * g.c + ch, scale * (dy(p, ch) - sum / m - hat(p) * product / m),
               std::abs(scale) * (std::abs(dy(p, ch)) + sum_size / m +
                                  (std::abs(hat(p)) + 2 * far) * product_size / m));
    }
    return dz;
  }
};

}  // namespace drnas::test
