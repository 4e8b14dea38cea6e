// SPDX-License-Identifier: MIT
#include <limits>

#include "engine/parameters/schedule.h"
#include "tests/cases/optimizer.h"
#include "tests/cases/softmax_rows.h"
#include "tests/support/calls.h"
#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;

namespace {

Results step(const SgdCase& c) {
  return OnCpu{}([&](auto& b) { return c.step(b); });
}

}  // namespace

TEST_CASE("sgd_step: five steps against float64, also with Nesterov's momentum") {
  auto rng = generator(21);
  for (const int count : {1, 5, 1000})
    for (const bool nesterov : {false, true}) {
      // A norm of 2 against a limit of 1 halves the gradient.
      SgdCase c(rng, count, {.squared_norm = 4, .max_norm = 1, .nesterov = nesterov});
      c.velocity.assign(count, 0.0);
      Doubles w = c.weights, m = c.velocity;
      for (int k = 0; k < 5; ++k) {
        c.gradient = normals(rng, count);
        for (int i = 0; i < count; ++i) {
          const double decayed = 0.5f * c.gradient[i] + 3e-4f * w[i];
          m[i] = 0.9f * m[i] + decayed;
          w[i] -= 0.025f * (nesterov ? decayed + 0.9f * m[i] : m[i]);
        }
        const Results r = step(c);
        c.weights = r.at("weights");
        c.velocity = r.at("velocity");
      }
      CHECK(max_error(c.weights, w) < 40 * float_epsilon);
      CHECK(max_error(c.velocity, m) < 40 * float_epsilon);
    }
}

TEST_CASE("sgd_step: the copy in bfloat16 is the new weights', rounded") {
  auto rng = generator(25);
  const Results r = step(SgdCase(rng, 1003, {.copies = true}));
  const Doubles expected = rounded<bfloat16>(r.at("weights"));
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(r.at("copy")[i] == expected[i]);
}

TEST_CASE("sgd_step: gradients that are not finite change nothing") {
  auto rng = generator(26);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  SgdCase c(rng, 3, {.squared_norm = nan, .max_norm = 5});
  c.gradient[1] = nan;
  const Results r = step(c);
  CHECK(r.at("weights") == c.weights);
  CHECK(r.at("velocity") == c.velocity);
}

TEST_CASE("squared_norm: float64 of float32 values, and of float64 ones") {
  auto rng = generator(23);
  for (const int count : {0, 1, 255, 257, 100003}) {
    const Doubles x = normals(rng, count), more = normals(rng, 30);
    for (const Doubles& extra : {Doubles{}, more}) {
      const SquaredNormCase c{x, extra};
      const Results r = OnCpu{}([&](auto& b) { return c.norm(b); });
      CHECK(r.at("total")[0] ==
            doctest::Approx(dot(x, x) + dot(extra, extra)).epsilon(sum_tolerance(256)));
    }
  }
}

TEST_CASE("cosine schedule: ends and middle") {
  CHECK(cosine_learning_rate(0.025, 0.001, 0, 100) == 0.025);
  CHECK(cosine_learning_rate(0.025, 0.001, 50, 100) == doctest::Approx(0.013));
  CHECK(cosine_learning_rate(0.025, 0.001, 100, 100) == doctest::Approx(0.001));
}

TEST_CASE("softmax_rows: values, mask and gradient by finite differences") {
  auto rng = generator(24);
  for (const bool masked : {false, true}) {
    SoftmaxRowsCase c(rng, 3, 5, false);
    if (masked) c.mask = {1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 0, 0};
    const auto theta_of = [&](const Doubles& alpha) {
      SoftmaxRowsCase moved = c;
      moved.alpha = alpha;
      return OnCpu{}([&](auto& b) { return moved.forward(b); }).at("theta");
    };
    const Doubles theta = theta_of(c.alpha);
    for (int e = 0; e < c.edges; ++e) {
      double sum = 0;
      for (int i = e * c.ops; i < (e + 1) * c.ops; ++i) {
        sum += theta[i];
        if (masked && !c.mask[i]) CHECK(theta[i] == 0);
      }
      CHECK(sum == doctest::Approx(1).epsilon(1e-15));
    }
    CHECK(max_error(OnCpu{}([&](auto& b) { return c.backward(b, theta); }).at("dalpha"),
                    finite_differences([&](const Doubles& a) { return dot(theta_of(a), c.dtheta); },
                                       c.alpha)) < 1e-9);
  }
}
