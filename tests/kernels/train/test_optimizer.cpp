// SPDX-License-Identifier: MIT
#include "kernels/train/optimizer.h"

#include <limits>

#include "engine/parameters/schedule.h"
#include "kernels/alpha/softmax_rows.h"
#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;

TEST_CASE("sgd_step: five steps against float64, also with Nesterov's momentum") {
  auto rng = generator(21);
  for (const auto& [count, nesterov] :
       {std::pair{1, false}, {5, false}, {1000, false}, {1, true}, {5, true}, {1000, true}}) {
    Doubles w = normals(rng, count), m(count, 0.0);
    Guarded weights(w), velocity(m);
    for (int step = 0; step < 5; ++step) {
      const Doubles g = normals(rng, count);
      Guarded gradient(g);
      // A norm of 2 against a limit of 1 halves the gradient.
      const double rate = 0.025, squared_norm = 4;
      kernels::sgd_step<Device::cpu>({count, &rate, &squared_norm, 1.0, 0.9f, 3e-4f, weights,
                                      velocity, gradient, nullptr, nesterov},
                                     nullptr);
      for (int i = 0; i < count; ++i) {
        const double decayed = 0.5f * g[i] + 3e-4f * w[i];
        m[i] = 0.9f * m[i] + decayed;
        w[i] -= 0.025f * (nesterov ? decayed + 0.9f * m[i] : m[i]);
      }
    }
    CHECK(max_error(weights.doubles(), w) < 40 * float_epsilon);
    CHECK(max_error(velocity.doubles(), m) < 40 * float_epsilon);
  }
}

TEST_CASE("sgd_step: the copy in bfloat16 is the new weights', rounded") {
  auto rng = generator(25);
  const int count = 1003;
  Guarded weights(normals(rng, count)), velocity(normals(rng, count)),
      gradient(normals(rng, count));
  std::vector<bfloat16> rounded(count, bfloat16(7.0f));
  const double rate = 0.025, squared_norm = 4;
  kernels::sgd_step<Device::cpu>(
      {count, &rate, &squared_norm, 0.0, 0.9f, 3e-4f, weights, velocity, gradient, rounded.data()},
      nullptr);
  for (int i = 0; i < count; ++i)
    CHECK(rounded[i].bits == bfloat16(static_cast<float*>(weights)[i]).bits);
}

TEST_CASE("sgd_step: gradients that are not finite change nothing") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), rate = 0.1;
  Guarded weights(Doubles{1, 2, 3}), velocity(Doubles{4, 5, 6}), gradient(Doubles{1, nan, 1});
  kernels::sgd_step<Device::cpu>({3, &rate, &nan, 5.0, 0.9f, 3e-4f, weights, velocity, gradient},
                                 nullptr);
  CHECK(weights.doubles() == Doubles{1, 2, 3});
  CHECK(velocity.doubles() == Doubles{4, 5, 6});
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
