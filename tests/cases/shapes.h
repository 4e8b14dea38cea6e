// SPDX-License-Identifier: MIT
// Activations in float64: planes and NHWC.
#pragma once

#include <algorithm>
#include <cmath>

#include "tests/cases/buffers.h"

namespace drnas::test {

/// [n, c, pixels]
struct PlaneShape {
  int n, c;
  std::int64_t pixels;

  std::int64_t count() const { return n * c * pixels; }
  std::int64_t at(int image, int ch, std::int64_t q) const {
    return (std::int64_t{image} * c + ch) * pixels + q;
  }
  double values() const { return static_cast<double>(n * pixels); }
  /// Calls body(image, channel, index) for every value.
  template <class Body>
  void each(const Body& body) const {
    for (int i = 0; i < n; ++i)
      for (int ch = 0; ch < c; ++ch)
        for (std::int64_t q = 0; q < pixels; ++q) body(i, ch, at(i, ch, q));
  }
};

/// Mean and biased variance of every channel.
struct ChannelMoments {
  Doubles mean, var;

  ChannelMoments(const PlaneShape& s, const Doubles& x) : mean(s.c, 0.0), var(s.c, 0.0) {
    s.each([&](int, int ch, std::int64_t i) { mean[ch] += x[i] / s.values(); });
    s.each([&](int, int ch, std::int64_t i) {
      var[ch] += (x[i] - mean[ch]) * (x[i] - mean[ch]) / s.values();
    });
  }
  Doubles inv_std(double eps = 1e-5f) const {
    Doubles inv;
    for (const double v : var) inv.push_back(1.0 / std::sqrt(v + eps));
    return inv;
  }
};

/// Normal values around another mean than zero.
inline Doubles offset_normals(Rng& rng, std::int64_t count, double scale = 1.0) {
  Doubles values = normals(rng, count, scale);
  const double offset = normals(rng, 1)[0];
  for (double& v : values) v += offset;
  return rounded(values);
}

/// Pixels of `channels` values as two arrays, one after the other: the first c of all pixels, then
/// the rest.
inline Doubles laid_apart(const Doubles& x, int c, int channels) {
  const auto pixels = static_cast<std::int64_t>(x.size()) / channels;
  Doubles out(x.size());
  for (std::int64_t i = 0; i < pixels * channels; ++i) {
    const std::int64_t pixel = i / channels, ch = i % channels;
    out[ch < c ? pixel * c + ch : pixels * c + pixel * (channels - c) + ch - c] = x[i];
  }
  return out;
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

/// Mean and variance over pixels of every channel of z [pixels, channels].
struct Moments {
  Doubles mean, var;

  Moments(const Doubles& z, int channels) : mean(channels, 0.0), var(channels, 0.0) {
    const double m = static_cast<double>(z.size()) / channels;
    for (std::size_t i = 0; i < z.size(); ++i) mean[i % channels] += z[i] / m;
    for (std::size_t i = 0; i < z.size(); ++i)
      var[i % channels] += (z[i] - mean[i % channels]) * (z[i] - mean[i % channels]) / m;
  }
};

}  // namespace drnas::test
