// SPDX-License-Identifier: MIT
#include "kernels/optimizer.h"

#include <limits>

#include "engine/schedule.h"
#include "kernels/softmax_rows.h"
#include "tests/reference.h"

using namespace drnas;
using namespace drnas::test;

TEST_CASE("sgd_step: five steps against float64") {
  auto rng = generator(21);
  for (const int count : {1, 5, 1000}) {
    Doubles w = normals(rng, count), m(count, 0.0);
    Guarded weights(w), velocity(m);
    for (int step = 0; step < 5; ++step) {
      const Doubles g = normals(rng, count);
      Guarded gradient(g);
      // A norm of 2 against a limit of 1 halves the gradient.
      const double rate = 0.025, squared_norm = 4;
      kernels::sgd_step<Device::cpu>(
          {count, &rate, &squared_norm, 1.0, 0.9f, 3e-4f, weights, velocity, gradient}, nullptr);
      for (int i = 0; i < count; ++i) {
        m[i] = 0.9f * m[i] + (0.5f * g[i] + 3e-4f * w[i]);
        w[i] -= 0.025f * m[i];
      }
    }
    CHECK(max_error(weights.doubles(), w) < 40 * float_epsilon);
    CHECK(max_error(velocity.doubles(), m) < 40 * float_epsilon);
  }
}

TEST_CASE("adam_step: against the textbook in long double") {
  auto rng = generator(22);
  const int count = 30;
  Doubles w = normals(rng, count), m(count, 0.0), v(count, 0.0);
  std::vector<long double> rw(w.begin(), w.end()), rm(count, 0.0L), rv(count, 0.0L);
  std::int64_t steps = 0;
  for (int step = 1; step <= 20; ++step) {
    const Doubles g = normals(rng, count);
    kernels::adam_step<Device::cpu>(
        {count, 3e-4, 0.5, 0.999, 1e-8, 1e-3, &steps, w.data(), m.data(), v.data(), g.data()},
        nullptr);
    REQUIRE(steps == step);
    for (int i = 0; i < count; ++i) {
      const long double d = g[i] + 1e-3L * rw[i];
      rm[i] = 0.5L * rm[i] + 0.5L * d;
      rv[i] = 0.999L * rv[i] + 0.001L * d * d;
      rw[i] -= 3e-4L * (rm[i] / (1 - std::pow(0.5L, step))) /
               (std::sqrt(rv[i] / (1 - std::pow(0.999L, step))) + 1e-8L);
    }
  }
  for (int i = 0; i < count; ++i)
    CHECK(w[i] == doctest::Approx(static_cast<double>(rw[i])).epsilon(1e-12));
}

TEST_CASE("optimizers: gradients that are not finite change nothing") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), rate = 0.1;
  Guarded weights(Doubles{1, 2, 3}), velocity(Doubles{4, 5, 6}), gradient(Doubles{1, nan, 1});
  kernels::sgd_step<Device::cpu>({3, &rate, &nan, 5.0, 0.9f, 3e-4f, weights, velocity, gradient},
                                 nullptr);
  CHECK(weights.doubles() == Doubles{1, 2, 3});
  CHECK(velocity.doubles() == Doubles{4, 5, 6});
  Doubles w{1, 2}, m{3, 4}, v{5, 6};
  const Doubles g{1, nan};
  std::int64_t steps = 7;
  kernels::adam_step<Device::cpu>(
      {2, 3e-4, 0.5, 0.999, 1e-8, 1e-3, &steps, w.data(), m.data(), v.data(), g.data()}, nullptr);
  CHECK(w == Doubles{1, 2});
  CHECK(m == Doubles{3, 4});
  CHECK(v == Doubles{5, 6});
  CHECK(steps == 7);
}

TEST_CASE("squared_norm: float64 of float32 values, and of float64 ones") {
  auto rng = generator(23);
  for (const int count : {0, 1, 255, 257, 100003}) {
    const Doubles x = normals(rng, count), extra = normals(rng, 30);
    Guarded in(x);
    double total = -1;
    kernels::squared_norm<Device::cpu>({count, in, 0, nullptr, &total}, nullptr, nullptr);
    CHECK(total == doctest::Approx(dot(x, x)).epsilon(sum_tolerance(256)));
    kernels::squared_norm<Device::cpu>({count, in, 30, extra.data(), &total}, nullptr, nullptr);
    CHECK(total == doctest::Approx(dot(x, x) + dot(extra, extra)).epsilon(sum_tolerance(256)));
  }
}

TEST_CASE("cosine schedule: ends and middle") {
  CHECK(cosine_learning_rate(0.025, 0.001, 0, 100) == 0.025);
  CHECK(cosine_learning_rate(0.025, 0.001, 50, 100) == doctest::Approx(0.013));
  CHECK(cosine_learning_rate(0.025, 0.001, 100, 100) == doctest::Approx(0.001));
}

TEST_CASE("softmax_rows: values, mask and gradient by finite differences") {
  auto rng = generator(24);
  const int edges = 3, ops = 5;
  const Doubles alpha = normals(rng, edges * ops), g = normals(rng, edges * ops);
  const std::vector<std::uint8_t> mask{1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 0, 0};
  for (const std::uint8_t* m : {static_cast<const std::uint8_t*>(nullptr), mask.data()}) {
    const auto theta_of = [&](const Doubles& a) {
      Doubles theta(a.size());
      kernels::softmax_rows<Device::cpu>(edges, ops, a.data(), m, theta.data(), nullptr);
      return theta;
    };
    const Doubles theta = theta_of(alpha);
    for (int e = 0; e < edges; ++e) {
      double sum = 0;
      for (int o = 0; o < ops; ++o) {
        sum += theta[e * ops + o];
        if (m && !m[e * ops + o]) CHECK(theta[e * ops + o] == 0);
      }
      CHECK(sum == doctest::Approx(1).epsilon(1e-15));
    }
    Doubles dalpha(alpha.size());
    kernels::softmax_rows_backward<Device::cpu>(edges, ops, theta.data(), g.data(), dalpha.data(),
                                                nullptr);
    CHECK(max_error(dalpha, finite_differences(
                                [&](const Doubles& a) { return dot(theta_of(a), g); }, alpha)) <
          1e-9);
  }
}
