// SPDX-License-Identifier: MIT
#include "tests/kernels/layers/batch_norm_reference.h"

using namespace drnas;
using namespace drnas::test;

namespace {

Results passes(const BatchNormCase& c) {
  return OnCpu{}([&](auto& b) { return c.passes(b); });
}

}  // namespace

TEST_CASE("batch_norm: forward and running statistics against float64") {
  auto rng = generator(1);
  for (int i = 0; i < 12; ++i) {
    const std::int64_t pixels = pick(rng, {2, 3, 64, 65, 129, 1000});
    BatchNormCase c(rng, pixels, pick(rng, {1, 3, 8, 16, 17, 64, 192}),
                    {.relu = i % 2 != 0, .affine = i % 3 != 0});
    for (std::size_t k = 0; k < c.x.size(); ++k)
      c.x[k] = static_cast<float>(c.x[k] + 3.0 * static_cast<double>(k % c.channels));
    CAPTURE(c.pixels);
    CAPTURE(c.channels);
    const Results r = passes(c);
    const double tolerance =
        sum_tolerance(static_cast<double>(c.pixels)) * std::max(1.0, condition(c) - 1);
    CHECK(max_error(r.at("y"), forward(c, c.x, c.gamma, c.beta)) < tolerance);
    check_statistics(c, r, true);
  }
}

TEST_CASE("batch_norm: with running statistics against float64, alone and added to a tensor") {
  auto rng = generator(5);
  for (int i = 0; i < 8; ++i) {
    BatchNormCase c(rng, pick(rng, {1, 3, 65}), pick(rng, {1, 3, 8, 17}),
                    {.relu = i % 2 != 0, .affine = i % 4 < 2, .running = false});
    c.dy = rounded(c.dy);
    const Results r = passes(c);
    for (std::size_t k = 0; k < c.x.size(); ++k) {
      const std::size_t ch = k % c.channels;
      const double scale =
                       (c.options.affine ? c.gamma[ch] : 1) / std::sqrt(c.running_var[ch] + c.eps),
                   y = scale * (c.x[k] - c.running_mean[ch]) + (c.options.affine ? c.beta[ch] : 0),
                   size = std::abs(scale) * (std::abs(c.x[k]) + std::abs(c.running_mean[ch])) + 3;
      CHECK(std::abs(r.at("evaluated")[k] - (c.options.relu ? std::max(0.0, y) : y)) <
            8 * float_epsilon * size);
      CHECK(r.at("with_dy")[k] == static_cast<float>(r.at("evaluated")[k] + c.dy[k]));
    }
  }
}

TEST_CASE("batch_norm: gradients against finite differences of the float64 forward") {
  auto rng = generator(2);
  for (int i = 0; i < 8; ++i) {
    BatchNormCase c(rng, pick(rng, {5, 16, 67}), pick(rng, {1, 2, 5}),
                    {.relu = i % 2 != 0, .affine = i % 4 < 2});
    c.x = normals(rng, static_cast<std::int64_t>(c.x.size()), 2.0);
    // Stay away from the kink of ReLU, where a difference means nothing.
    const Doubles y = normalised(c, c.x, c.gamma, c.beta);
    for (std::size_t j = 0; j < y.size(); ++j)
      if (c.options.relu && std::abs(y[j]) < 0.02) c.dy[j] = 0;
    const auto loss_x = [&](const Doubles& x) { return dot(forward(c, x, c.gamma, c.beta), c.dy); };
    const auto loss_gamma = [&](const Doubles& g) { return dot(forward(c, c.x, g, c.beta), c.dy); };
    const auto loss_beta = [&](const Doubles& b) { return dot(forward(c, c.x, c.gamma, b), c.dy); };
    const Results r = passes(c);
    // Five-point differences at h = 1e-3 and float32 sums of at most 67 terms.
    const double tolerance = 1e-4;
    CHECK(max_error(r.at("dx"), finite_differences(loss_x, c.x)) < tolerance);
    if (c.options.affine) {
      CHECK(max_error(r.at("dgamma"), finite_differences(loss_gamma, c.gamma)) < tolerance);
      CHECK(max_error(r.at("dbeta"), finite_differences(loss_beta, c.beta)) < tolerance);
    }
    c.options.accumulate = true;
    Doubles sum = r.at("dx");
    for (std::size_t j = 0; j < sum.size(); ++j) sum[j] += c.dx[j];
    CHECK(max_error(passes(c).at("dx"), sum) < 4 * float_epsilon);
  }
}

TEST_CASE("batch_norm: the same for every thread count, finite without variance") {
  auto rng = generator(3);
  const BatchNormCase c(rng, 1000, 24, {.relu = true});
  const auto with = [&](int count) {
    const Threads threads(count);
    return passes(c);
  };
  const Results one = with(1);
  for (int t = 2; t <= 3; ++t) CHECK(with(t) == one);
  BatchNormCase flat(rng, 7, 3, {});
  flat.x.assign(flat.x.size(), 2.5);
  for (const BatchNormCase& k : {flat, BatchNormCase(rng, 1, 4, {})})
    for (const auto& [name, values] : passes(k))
      for (const double v : values) CHECK(std::isfinite(v));
}

TEST_CASE("channel_moments: mean and squared deviations of a strided range") {
  auto rng = generator(4);
  for (const int channels : {1, 7, 8, 48}) {
    const std::int64_t pixels = 300, stride = channels + 5;
    const Doubles x = normals(rng, pixels * stride);
    Guarded in(x), mean(channels), m2(channels);
    kernels::channel_moments(in, pixels, stride, channels, mean, m2);
    const Moments moments(x, static_cast<int>(stride));
    for (int c = 0; c < channels; ++c) {
      CHECK(std::abs(mean.data()[c] - moments.mean[c]) < sum_tolerance(pixels));
      CHECK(m2.data()[c] ==
            doctest::Approx(moments.var[c] * pixels).epsilon(sum_tolerance(pixels)));
    }
  }
}
