// SPDX-License-Identifier: MIT
// Batch normalisation of planes with an image's scale and a ReLU, in float64, and what both twins
// must do. `run`: OnCpu or OnDevice.
#pragma once

#include "tests/cases/plane_norm.h"
#include "tests/kernels/planes/plane_reference.h"

namespace drnas::test {

inline constexpr std::int64_t plane_sizes[] = {1, 2, 5, 9, 16, 49, 64, 100, 1024, 1063};

inline Bounded applied(const PlaneNormCase& c, bool accumulate) {
  Bounded y(c.s.count());
  c.s.each([&](int image, int ch, std::int64_t i) {
    const double a = c.gamma[ch] * c.inv_std[ch], scale = c.scale[image];
    y.add(i, scale * (a * (c.x[i] - c.mean[ch]) + c.beta[ch]),
          scale * (std::abs(a) * (std::abs(c.x[i]) + std::abs(c.mean[ch])) + std::abs(c.beta[ch])));
    if (accumulate) y.add(i, c.before[i]);
    if (c.relu) y.value[i] = std::max(0.0, y.value[i]);
  });
  return y;
}

/// dy'.
inline Doubles masked_gradient(const PlaneNormCase& c) {
  Doubles d(c.s.count());
  c.s.each([&](int image, int ch, std::int64_t i) {
    const double y = c.gamma[ch] * (c.x[i] - c.mean[ch]) * c.inv_std[ch] + c.beta[ch];
    d[i] = c.relu && y <= 0 ? 0.0 : c.scale[image] * c.dy[i];
  });
  return d;
}

/// A g + B z + C.
inline Bounded written_out(const PlaneGradientCase& c, const Doubles& z) {
  Bounded d(c.s.count());
  const PlaneShape whole{c.s.n, c.s.c * c.step, c.s.pixels};
  c.s.each([&](int image, int ch, std::int64_t i) {
    const double from = c.g[whole.at(image, ch * c.step, i % c.s.pixels)];
    d.add(i, c.coefficients.empty() ? from : c.coefficients[ch] * from);
    if (c.coefficients.empty()) return;
    d.add(i, c.coefficients[c.s.c + ch] * z[i]);
    d.add(i, c.coefficients[2 * c.s.c + ch]);
  });
  return d;
}

template <class Run>
void check_moments(const Run& run, Rng& rng, const PlaneShape& s, double offset) {
  CAPTURE(s.n);
  CAPTURE(s.c);
  CAPTURE(s.pixels);
  CAPTURE(offset);
  const kernels::NormMode mode{true, 1e-5f, 0.1f};
  PlaneNormCase c(rng, s, false);
  c.x = normals(rng, s.count());
  for (double& v : c.x) v = static_cast<float>(v + offset);
  const Results got = run([&](auto& b) { return c.moments(b, mode); });
  check_statistics(s, c.x, mode, got);
  const Results batch = run.once()([&](auto& b) { return c.moments(b, mode, false); });
  CHECK(batch.at("mean") == got.at("mean"));
  CHECK(batch.at("inv_std") == got.at("inv_std"));
}

/// Channels of one value, and planes of one pixel of a single image: no variance but eps.
/// Without statistics: the bits of mean 0 and 1/std 1.
template <class Run>
void check_without_statistics(const Run& run, Rng& rng) {
  for (const std::int64_t pixels : plane_sizes) {
    PlaneNormCase c(rng, {2, 5, pixels}, rng() % 2);
    c.normalise(false);
    const Results given = run([&](auto&b) { return c.backward(b, false); }),
                  written = run([&](auto&b) { return c.apply(b, false); });
    c.normalise(true);
    for (const auto& [name, values] : run([&](auto& b) { return c.backward(b, false); }))
      CHECK(values == given.at(name));
    CHECK(run([&](auto& b) { return c.apply(b, false); }).at("y") == written.at("y"));
  }
}

template <class Run>
void check_without_variance(const Run& run, Rng& rng) {
  const kernels::NormMode mode{true, 1e-5f, 0.1f};
  for (const double level : {0.0, 2.5, -1e4})
    for (const PlaneShape& s : {PlaneShape{1, 3, 1}, {2, 3, 49}}) {
      CAPTURE(level);
      CAPTURE(s.pixels);
      PlaneNormCase c(rng, s, false);
      c.x.assign(c.x.size(), level);
      const Results moments = run([&](auto& b) { return c.moments(b, mode); });
      check_statistics(s, c.x, mode, moments);
      c.mean = moments.at("mean");
      c.inv_std = moments.at("inv_std");
      for (const double v : c.inv_std) CHECK(v == doctest::Approx(1 / std::sqrt(1e-5)));
      check_apply(run, c, false);
      check_backward(run, c, false);
    }
}

template <class Run>
void check_evaluation(const Run& run, Rng& rng) {
  const PlaneNormCase c(rng, {2, 3, 4}, false);
  const kernels::NormMode mode{false, 0.25f, 0.1f};
  check_evaluation(run, 3, [&](auto& b) { return c.moments(b, mode); });
  CHECK_THROWS_AS(run([&](auto& b) { return c.moments(b, mode, false); }), Error);
}

template <class Run>
void check_apply(const Run& run, const PlaneNormCase& c, bool accumulate) {
  CAPTURE(c.s.pixels);
  CAPTURE(c.relu);
  CAPTURE(accumulate);
  const Results got = run([&](auto& b) { return c.apply(b, accumulate); });
  CHECK(roundings(got.at("y"), applied(c, accumulate)) <= 8);
}

template <class Run>
void check_backward(const Run& run, const PlaneNormCase& c, bool accumulate) {
  CAPTURE(c.s.n);
  CAPTURE(c.s.c);
  CAPTURE(c.s.pixels);
  CAPTURE(c.relu);
  CAPTURE(accumulate);
  Results got = run([&](auto& b) { return c.backward(b, accumulate); });
  const Doubles masked = masked_gradient(c), &coefficients = got.at("coefficients");
  const NormGradient expected(c.s, c.x, c.mean, c.inv_std, c.gamma, masked);
  CHECK(roundings(got.at("dbeta"), expected.sum) <= run.sum_roundings);
  CHECK(roundings(got.at("dgamma"), expected.product) <= run.sum_roundings);
  CHECK(roundings(assemble(c.s, coefficients, masked, c.x), expected.dz) <= run.sum_roundings);
  Bounded dx = expected.dz;
  for (std::int64_t i = 0; i < c.s.count() && accumulate; ++i) dx.add(i, c.before[i]);
  CHECK(roundings(got.at("dx"), dx) <= run.sum_roundings + 4);
  const Results alone = run([&](auto& b) { return c.backward(b, accumulate, false); });
  CHECK(alone.at("coefficients") == coefficients);
}

template <class Run>
void check_written_out(const Run& run, const PlaneGradientCase& c) {
  const Results got = run([&](auto& b) { return c.written_out(b); });
  CHECK(roundings(got.at("dz"), written_out(c, c.z)) <= 4);
}

}  // namespace drnas::test
