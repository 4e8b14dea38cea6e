// SPDX-License-Identifier: MIT
// Convolution bundles and node mixes in float64, pass by pass, each element with a bound on what
// float32 may lose.
#pragma once

#include <omp.h>

#include "tests/support/reference.h"

namespace drnas::test {

/// A float64 result and, element by element, the sum of the magnitudes of everything that was added
/// up for it.
struct Bounded {
  Doubles value, magnitude;

  explicit Bounded(std::int64_t count = 0) : value(count, 0.0), magnitude(count, 0.0) {}
  void add(std::int64_t i, double term, double size) {
    value[i] += term;
    magnitude[i] += size;
  }
  void add(std::int64_t i, double term) { add(i, term, std::abs(term)); }
};

/// Largest error in units of 2^-24 times the element's magnitude: at most the number of roundings
/// on the longest way from an input to the result (Higham, Accuracy and Stability of Numerical
/// Algorithms, section 3.1).
inline double roundings(const Doubles& out, const Bounded& reference) {
  REQUIRE(out.size() == reference.value.size());
  double most = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const double error = std::abs(out[i] - reference.value[i]),
                 bound = 0x1p-24 * reference.magnitude[i] + 0x1p-126;
    if (!(error / bound <= most)) most = std::isnan(out[i]) ? INFINITY : error / bound;
  }
  return most;
}

/// The same against the largest magnitude of all elements: for methods that mix elements, such as
/// Winograd's.
inline double roundings_of_largest(const Doubles& out, Bounded reference) {
  double largest = 0;
  for (const double m : reference.magnitude) largest = std::max(largest, m);
  reference.magnitude.assign(reference.magnitude.size(), largest);
  return roundings(out, reference);
}

/// Values with exact zeros among them, for the edge of the ReLU.
inline Doubles normals_and_zeros(std::mt19937_64& rng, std::int64_t count) {
  Doubles values = normals(rng, count);
  for (double& v : values)
    if (rng() % 16 == 0) v = rng() % 2 ? 0.0 : -0.0;
  return values;
}

/// Sets the OpenMP thread count for a scope.
class Threads {
 public:
  explicit Threads(int count) : before_(omp_get_max_threads()) { omp_set_num_threads(count); }
  Threads(const Threads&) = delete;
  ~Threads() { omp_set_num_threads(before_); }

 private:
  int before_;
};

/// A workspace of exactly `bytes` bytes.
inline std::int64_t exact_floats(std::size_t bytes) {
  REQUIRE(bytes % sizeof(float) == 0);
  return static_cast<std::int64_t>(bytes / sizeof(float));
}

/// Images [n, h, w, channels] whose first c channels are mixed.
struct Images {
  int n, h, w, c, channels;

  int parts() const { return channels / c; }
  std::int64_t pixels() const { return std::int64_t{n} * h * w; }
  std::int64_t count() const { return pixels() * channels; }
  int window(std::int64_t pixel) const {
    const int i = static_cast<int>(pixel / w % h), j = static_cast<int>(pixel % w);
    return (std::min(i + 1, h - 1) - std::max(i - 1, 0) + 1) *
           (std::min(j + 1, w - 1) - std::max(j - 1, 0) + 1);
  }
  /// Calls body(pixel, neighbour, tap) for every pixel and every neighbour inside its k x k window.
  template <class Body>
  void each_neighbour(int k, const Body& body) const {
    for (std::int64_t p = 0; p < pixels(); ++p)
      for (int tap = 0; tap < k * k; ++tap) {
        const int i = static_cast<int>(p / w % h) + tap / k - k / 2,
                  j = static_cast<int>(p % w) + tap % k - k / 2;
        if (i >= 0 && i < h && j >= 0 && j < w) body(p, (p / (h * w) * h + i) * w + j, tap);
      }
  }
  /// Where channel `channel` of the concatenation (mixed, bypassed) goes when channels are
  /// shuffled.
  int shuffled(int channel) const { return channel % c * parts() + channel / c; }
};

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

/// Mean and variance over pixels of every channel of z [pixels, channels].
struct Moments {
  Doubles mean, var;

  Moments(const Doubles& z, int channels) : mean(channels, 0.0), var(channels, 0.0) {
    const double m = static_cast<double>(z.size()) / channels;
    for (std::size_t i = 0; i < z.size(); ++i) mean[i % channels] += z[i] / m;
    for (std::size_t i = 0; i < z.size(); ++i)
      var[i % channels] += std::pow(z[i] - mean[i % channels], 2) / m;
  }
};

/// A normalised term: z [pixels, c] enters as theta (z - mean) inv_std.
struct MixTerm {
  Doubles z, mean, inv_std;
  int theta;
};
/// A source node x [pixels, channels]; theta -1: no such operation.
struct MixSource {
  Doubles x;
  int skip_theta, pool_theta;
};

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

struct MixReference {
  Images g;
  Doubles theta;
  std::vector<MixTerm> terms;
  std::vector<MixSource> sources;

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
