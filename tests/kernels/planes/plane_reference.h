// SPDX-License-Identifier: MIT
// Batch normalisation on planes in float64, and what both twins must do.
#pragma once

#include "tests/cases/shapes.h"
#include "tests/support/calls.h"
#include "tests/support/reference.h"

namespace drnas::test {

/// Checks what a training pass over x leaves; running statistics start at 0.5 and 2.
inline void check_statistics(const PlaneShape& s, const Doubles& x, const kernels::NormMode& mode,
                             const Results& got) {
  const ChannelMoments moments(s, x);
  const Doubles inv = moments.inv_std(mode.eps);
  const Doubles &mean = got.at("mean"), &inv_std = got.at("inv_std");
  const Doubles &running_mean = got.at("running_mean"), &running_var = got.at("running_var");
  const double m = s.values();
  for (int ch = 0; ch < s.c; ++ch) {
    const double deviation = std::sqrt(moments.var[ch]),
                 unbiased = moments.var[ch] * m / std::max(1.0, m - 1);
    // The mean is rounded once; a variance loses a few roundings of itself.
    CHECK(std::abs(mean[ch] - moments.mean[ch]) <=
          float_epsilon * (std::abs(moments.mean[ch]) + deviation));
    CHECK(std::abs(inv_std[ch] - inv[ch]) <= 16 * float_epsilon * inv[ch]);
    CHECK(std::abs(running_mean[ch] -
                   (0.5 * (1 - mode.momentum) + mode.momentum * moments.mean[ch])) <=
          4 * float_epsilon * (0.5 + std::abs(moments.mean[ch])));
    CHECK(std::abs(running_var[ch] - (2.0 * (1 - mode.momentum) + mode.momentum * unbiased)) <=
          16 * float_epsilon * (2.0 + unbiased));
  }
}

/// Checks that evaluation, with eps 0.25, takes the running statistics and leaves them alone.
template <class Run, class Place>
void check_evaluation(const Run& run, int c, const Place& place) {
  const Results got = run(place);
  CHECK(got.at("mean") == Doubles(c, 0.5));
  CHECK(max_error(got.at("inv_std"), Doubles(c, 1 / 1.5)) < float_epsilon);
  CHECK(got.at("running_mean") == Doubles(c, 0.5));
  CHECK(got.at("running_var") == Doubles(c, 2.0));
  CHECK(got == OnCpu{}(place));
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

}  // namespace drnas::test
