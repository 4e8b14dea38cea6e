// SPDX-License-Identifier: MIT
#include "kernels/layers/batch_norm.h"

#include <omp.h>

#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;
using kernels::BatchNorm;

namespace {

struct Case {
  std::int64_t pixels;
  int channels;
  bool relu, affine;
  Doubles x, gamma, beta, dy;
  static constexpr double eps = 1e-5, momentum = 0.1;

  Case(std::mt19937_64& rng, std::int64_t pixels, int channels, bool relu, bool affine)
      : pixels(pixels), channels(channels), relu(relu), affine(affine) {
    x = normals(rng, pixels * channels, 2.0);
    for (std::size_t i = 0; i < x.size(); ++i)
      x[i] = static_cast<float>(x[i] + 3.0 * (i % channels));  // a mean to lose digits on
    gamma = normals(rng, channels);
    beta = normals(rng, channels);
    dy = normals(rng, pixels * channels);
  }

  void statistics(const Doubles& values, int c, double& mean, double& var) const {
    mean = var = 0;
    for (std::int64_t p = 0; p < pixels; ++p)
      mean += values[p * channels + c] / static_cast<double>(pixels);
    for (std::int64_t p = 0; p < pixels; ++p)
      var += std::pow(values[p * channels + c] - mean, 2) / static_cast<double>(pixels);
  }

  Doubles forward(const Doubles& values, const Doubles& g, const Doubles& b) const {
    Doubles y(values.size());
    for (int c = 0; c < channels; ++c) {
      double mean, var;
      statistics(values, c, mean, var);
      for (std::int64_t p = 0; p < pixels; ++p) {
        double v = (values[p * channels + c] - mean) / std::sqrt(var + eps);
        if (affine) v = g[c] * v + b[c];
        y[p * channels + c] = relu && v < 0 ? 0 : v;
      }
    }
    return y;
  }
};

struct Run {
  std::vector<float> y, mean, inv_std, running_mean, running_var, dx, dgamma, dbeta;
};

Run run(const Case& k, const Doubles* dx_before = nullptr) {
  Guarded x(k.x), gamma(k.gamma), beta(k.beta), dy(k.dy), y(k.pixels * k.channels),
      dx(k.pixels * k.channels);
  Guarded mean(k.channels), inv_std(k.channels), dgamma(k.channels), dbeta(k.channels);
  Guarded running_mean(Doubles(k.channels, 0.0)), running_var(Doubles(k.channels, 1.0));
  const BatchNorm p{k.pixels,
                    k.channels,
                    k.relu,
                    static_cast<float>(k.eps),
                    static_cast<float>(k.momentum),
                    k.affine ? gamma.data() : nullptr,
                    k.affine ? beta.data() : nullptr,
                    running_mean,
                    running_var};
  Guarded workspace(
      static_cast<std::int64_t>(kernels::batch_norm_workspace<Device::cpu>(p) / sizeof(float)));
  kernels::batch_norm_forward<Device::cpu>(p, x, y, mean, inv_std, workspace.data(), nullptr);
  if (dx_before)
    for (std::size_t i = 0; i < dx_before->size(); ++i)
      dx.data()[i] = static_cast<float>((*dx_before)[i]);
  kernels::batch_norm_backward<Device::cpu>(
      p, x, dy, mean, inv_std, dx, dx_before != nullptr, k.affine ? dgamma.data() : nullptr,
      k.affine ? dbeta.data() : nullptr, workspace.data(), nullptr);
  return {y.floats(),           mean.floats(), inv_std.floats(), running_mean.floats(),
          running_var.floats(), dx.floats(),   dgamma.floats(),  dbeta.floats()};
}

Doubles wide(const std::vector<float>& v) { return Doubles(v.begin(), v.end()); }

}  // namespace

TEST_CASE("batch_norm: forward and running statistics against float64") {
  auto rng = generator(1);
  for (int i = 0; i < 12; ++i) {
    const Case k(rng, pick(rng, {2, 3, 64, 65, 129, 1000}), pick(rng, {1, 3, 8, 16, 17, 64, 192}),
                 i % 2, i % 3 != 0);
    CAPTURE(k.pixels);
    CAPTURE(k.channels);
    const Run r = run(k);
    // x - mean loses as many digits as the mean is larger than the deviation.
    double condition = 1;
    for (int c = 0; c < k.channels; ++c) {
      double mean, var;
      k.statistics(k.x, c, mean, var);
      condition = std::max(condition, std::abs(mean) / std::sqrt(var + Case::eps));
    }
    const double tolerance = sum_tolerance(static_cast<double>(k.pixels)) * condition;
    CHECK(max_error(wide(r.y), k.forward(k.x, k.gamma, k.beta)) < tolerance);
    for (int c = 0; c < k.channels; ++c) {
      double mean, var;
      k.statistics(k.x, c, mean, var);
      const double m = static_cast<double>(k.pixels);
      CHECK(r.running_mean[c] == doctest::Approx(0.1 * mean).epsilon(1e-5).scale(3.0 * k.channels));
      CHECK(r.running_var[c] == doctest::Approx(0.9 + 0.1 * var * m / (m - 1)).epsilon(1e-4));
    }
  }
}

TEST_CASE("batch_norm: gradients against finite differences of the float64 forward") {
  auto rng = generator(2);
  for (int i = 0; i < 8; ++i) {
    Case k(rng, pick(rng, {5, 16, 67}), pick(rng, {1, 2, 5}), i % 2, i % 4 < 2);
    for (std::size_t j = 0; j < k.x.size(); ++j) k.x[j] -= 3.0 * (j % k.channels);
    // Stay away from the kink of ReLU, where a difference means nothing.
    const Doubles y = k.forward(k.x, k.gamma, k.beta);
    for (std::size_t j = 0; j < y.size(); ++j) {
      Case plain = k;
      plain.relu = false;
      if (k.relu && std::abs(plain.forward(k.x, k.gamma, k.beta)[j]) < 0.02) k.dy[j] = 0;
    }
    const auto loss_x = [&](const Doubles& x) { return dot(k.forward(x, k.gamma, k.beta), k.dy); };
    const auto loss_gamma = [&](const Doubles& g) { return dot(k.forward(k.x, g, k.beta), k.dy); };
    const auto loss_beta = [&](const Doubles& b) { return dot(k.forward(k.x, k.gamma, b), k.dy); };
    const Run r = run(k);
    const double tolerance =
        1e-4;  // five-point differences at h = 1e-3 and float32 sums of at most 67 terms
    CHECK(max_error(wide(r.dx), finite_differences(loss_x, k.x)) < tolerance);
    if (k.affine) {
      CHECK(max_error(wide(r.dgamma), finite_differences(loss_gamma, k.gamma)) < tolerance);
      CHECK(max_error(wide(r.dbeta), finite_differences(loss_beta, k.beta)) < tolerance);
    }
    const Doubles before = normals(rng, k.pixels * k.channels);
    Doubles sum = wide(r.dx);
    for (std::size_t j = 0; j < sum.size(); ++j) sum[j] += before[j];
    CHECK(max_error(wide(run(k, &before).dx), sum) < 4 * float_epsilon);
  }
}

TEST_CASE("batch_norm: the same for every thread count, finite without variance") {
  auto rng = generator(3);
  const Case k(rng, 1000, 24, true, true);
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const Run one = run(k);
  for (int t = 2; t <= 3; ++t) {
    omp_set_num_threads(t);
    const Run more = run(k);
    CHECK(one.y == more.y);
    CHECK(one.dx == more.dx);
    CHECK(one.dgamma == more.dgamma);
    CHECK(one.running_var == more.running_var);
  }
  omp_set_num_threads(threads);
  Case flat(rng, 7, 3, false, true);
  flat.x.assign(flat.x.size(), 2.5);
  for (const float v : run(flat).dx) CHECK(std::isfinite(v));
  for (const float v : run(Case(rng, 1, 4, false, true)).running_var) CHECK(std::isfinite(v));
}

TEST_CASE("channel_moments: mean and squared deviations of a strided range") {
  auto rng = generator(4);
  for (const int channels : {1, 7, 8, 48}) {
    const std::int64_t pixels = 300, stride = channels + 5;
    const Doubles x = normals(rng, pixels * stride);
    Guarded in(x), mean(channels), m2(channels);
    kernels::channel_moments(in, pixels, stride, channels, mean, m2);
    for (int c = 0; c < channels; ++c) {
      double expected = 0, squares = 0;
      for (std::int64_t p = 0; p < pixels; ++p) expected += x[p * stride + c] / pixels;
      for (std::int64_t p = 0; p < pixels; ++p)
        squares += std::pow(x[p * stride + c] - expected, 2);
      CHECK(std::abs(mean.data()[c] - expected) < sum_tolerance(pixels));
      CHECK(m2.data()[c] == doctest::Approx(squares).epsilon(sum_tolerance(pixels)));
    }
  }
}
