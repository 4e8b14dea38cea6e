// SPDX-License-Identifier: MIT
// Planes among NaNs, and batch normalisation on planes in float64.
#pragma once

#include "kernels/planes/planes.h"
#include "tests/kernels/bundle/node_reference.h"

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

/// Images of `size` values in a guarded buffer, at random with NaNs before and between them, which
/// must stay.
class PlaneBuffer {
 public:
  PlaneBuffer(std::mt19937_64& rng, int n, std::int64_t size)
      : n_(n),
        size_(size),
        before_(pick(rng, {0, 0, 1, 5})),
        stride_(size + pick(rng, {0, 0, 3, 16})),
        memory_(before_ + (n - 1) * stride_ + size) {}
  PlaneBuffer(std::mt19937_64& rng, int n, const Doubles& dense)
      : PlaneBuffer(rng, n, static_cast<std::int64_t>(dense.size()) / n) {
    for (std::size_t i = 0; i < dense.size(); ++i)
      memory_.data()[place(static_cast<std::int64_t>(i))] = static_cast<float>(dense[i]);
  }
  operator kernels::Planes() { return {memory_.data() + before_, stride_}; }
  operator kernels::ConstPlanes() { return {memory_.data() + before_, stride_}; }
  Doubles doubles() const {
    const Doubles all = memory_.doubles();
    Doubles dense(static_cast<std::size_t>(n_ * size_));
    std::size_t numbers = 0;
    for (const double v : all) numbers += !std::isnan(v);
    for (std::size_t i = 0; i < dense.size(); ++i) {
      dense[i] = all[place(static_cast<std::int64_t>(i))];
      numbers -= !std::isnan(dense[i]);
    }
    CHECK_MESSAGE(numbers == 0, "a number was written between images");
    return dense;
  }

 private:
  std::int64_t place(std::int64_t i) const { return before_ + i / size_ * stride_ + i % size_; }

  int n_;
  std::int64_t size_, before_, stride_;
  Guarded memory_;
};

/// A workspace of exactly `bytes` bytes.
class Scratch {
 public:
  explicit Scratch(std::size_t bytes) : memory_(exact_floats(bytes)) {}
  operator void*() { return memory_.data(); }

 private:
  Guarded memory_;
};

/// What float32 holds of these.
inline Doubles rounded(Doubles values) {
  for (double& v : values) v = static_cast<float>(v);
  return values;
}

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

/// Statistics as a pass leaves them; running ones start at 0.5 and 2.
struct StatisticsResults {
  Doubles mean, inv_std, running_mean, running_var;
};

/// Checks what a training pass over x leaves.
inline void check_statistics(const PlaneShape& s, const Doubles& x, const kernels::NormMode& mode,
                             const StatisticsResults& got) {
  const ChannelMoments moments(s, x);
  const Doubles inv = moments.inv_std(mode.eps);
  const double m = s.values();
  for (int ch = 0; ch < s.c; ++ch) {
    const double deviation = std::sqrt(moments.var[ch]),
                 unbiased = moments.var[ch] * m / std::max(1.0, m - 1);
    // The mean is rounded once; a variance loses a few roundings of itself.
    CHECK(std::abs(got.mean[ch] - moments.mean[ch]) <=
          float_epsilon * (std::abs(moments.mean[ch]) + deviation));
    CHECK(std::abs(got.inv_std[ch] - inv[ch]) <= 16 * float_epsilon * inv[ch]);
    CHECK(std::abs(got.running_mean[ch] -
                   (0.5 * (1 - mode.momentum) + mode.momentum * moments.mean[ch])) <=
          4 * float_epsilon * (0.5 + std::abs(moments.mean[ch])));
    CHECK(std::abs(got.running_var[ch] - (2.0 * (1 - mode.momentum) + mode.momentum * unbiased)) <=
          16 * float_epsilon * (2.0 + unbiased));
  }
}

/// Gradient of weight[ch] (z - mean) inv_std, with statistics of z itself, with respect to z (Ioffe
/// and Szegedy 2015), and its two sums a channel.
struct NormGradient {
  Bounded dz, sum, product;  ///< product: sum of dy (z - mean) inv_std

  NormGradient(const PlaneShape& s, const Doubles& z, const Doubles& mean, const Doubles& inv_std,
               const Doubles& weight, const Doubles& dy)
      : dz(s.count()), sum(s.c), product(s.c) {
    const auto hat = [&](int ch, std::int64_t i) { return (z[i] - mean[ch]) * inv_std[ch]; };
    s.each([&](int, int ch, std::int64_t i) {
      sum.add(ch, dy[i]);
      product.add(ch, dy[i] * hat(ch, i));
    });
    const double m = s.values();
    s.each([&](int, int ch, std::int64_t i) {
      const double scale = weight[ch] * inv_std[ch], far = std::abs(mean[ch]) * inv_std[ch];
      dz.add(i, scale * (dy[i] - sum.value[ch] / m - hat(ch, i) * product.value[ch] / m),
             std::abs(scale) * (std::abs(dy[i]) + sum.magnitude[ch] / m +
                                (std::abs(hat(ch, i)) + 2 * far) * product.magnitude[ch] / m));
    });
  }
};

/// A dy + B z + C in float64 from float32 coefficients [3, c].
inline Doubles assemble(const PlaneShape& s, const Doubles& coefficients, const Doubles& dy,
                        const Doubles& z) {
  Doubles dz(s.count());
  s.each([&](int, int ch, std::int64_t i) {
    dz[i] = coefficients[ch] * dy[i] + coefficients[s.c + ch] * z[i] + coefficients[2 * s.c + ch];
  });
  return dz;
}

/// Roundings of a float32 sum over a plane's block: two chains of vectors of eight, then a tree.
inline constexpr double block_roundings = 80;

}  // namespace drnas::test
