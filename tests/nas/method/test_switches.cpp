// SPDX-License-Identifier: MIT
// BayesNAS: the proximal step, curvature and the Laplace step against what they are by definition.
#include "nas/method/switches.h"

#include <numeric>

#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;

namespace {

constexpr double epsilon = 0x1p-52;
constexpr int edges = 6, columns = 6, count = edges * columns;

const auto always = [](std::int64_t, std::int64_t) { return true; };

/// A smooth function of theta with a full Hessian, and its gradient: log sum_t exp(w_t . theta).
struct Smooth {
  Doubles w;
  int terms;

  Smooth(std::mt19937_64& rng, int of) : w(normals(rng, of * count, 0.5)), terms(of) {}
  double operator()(std::span<const double> theta, Doubles* gradient) const {
    Doubles e(static_cast<std::size_t>(terms));
    double sum = 0;
    for (int t = 0; t < terms; ++t) {
      double z = 0;
      for (int i = 0; i < count; ++i) z += w[t * count + i] * theta[i];
      sum += e[t] = std::exp(z);
    }
    if (gradient) gradient->assign(count, 0.0);
    for (int t = 0; gradient && t < terms; ++t)
      for (int i = 0; i < count; ++i) (*gradient)[i] += e[t] / sum * w[t * count + i];
    return std::log(sum);
  }
};

}  // namespace

TEST_CASE("switches: an operation's weight is its switch times its edge's, and so its gradient") {
  auto rng = generator(301);
  const Smooth f(rng, 12);
  const Doubles s = normals(rng, count);
  const Doubles theta = switch_weights(columns, s);
  for (int i = 0; i < count; ++i) {
    const int edge = i / columns * columns + columns - 1;
    CHECK(theta[i] == (i == edge ? s[edge] : s[i] * s[edge]));
  }
  Doubles dtheta;
  f(theta, &dtheta);
  const Doubles gradient = switch_gradient(columns, s, dtheta);
  // Truncation h^2, rounding epsilon / h, of values near one.
  const double h = 1e-5;
  for (int i = 0; i < count; ++i) {
    Doubles above = s, below = s;
    above[i] += h;
    below[i] -= h;
    const double expected =
        (f(switch_weights(columns, above), nullptr) - f(switch_weights(columns, below), nullptr)) /
        (2 * h);
    CHECK(std::abs(gradient[i] - expected) < 1e-8);
  }
}

TEST_CASE("switches: the proximal step ends where gradient and penalty balance") {
  auto rng = generator(302);
  const Doubles before = normals(rng, 500, 0.1), gradient = normals(rng, 500);
  Doubles penalty = normals(rng, 500, 0.7);
  for (double& p : penalty) p = std::abs(p);
  const double rate = 0.1;
  Doubles after = before;
  proximal_step(after, gradient, penalty, rate);
  int zeros = 0;
  for (std::size_t i = 0; i < after.size(); ++i) {
    // x minimises (x - z)^2 / 2 + t |x|: x + t sign(x) = z, or |z| <= t where x is zero.
    const double z = before[i] - rate * gradient[i], t = rate * penalty[i];
    if (after[i] == 0) {
      ++zeros;
      CHECK(std::abs(z) <= t);
      CHECK(!std::signbit(after[i]));
    } else {
      CHECK(std::abs(after[i] + std::copysign(t, after[i]) - z) <= 4 * epsilon);
    }
  }
  CHECK((zeros > 50 && zeros < 450));
}

TEST_CASE("switches: without a penalty the step is plain descent") {
  Doubles s{1, -2, 0};
  proximal_step(s, Doubles{0.5, 0.5, -1}, Doubles{0, 0, 0}, 0.25);
  CHECK(s == Doubles{0.875, -2.125, 0.25});
}

TEST_CASE("switches: curvature is the diagonal of the Hessian by switches") {
  auto rng = generator(303);
  // 1/2 s^T A s + b^T s: differences of its gradient are exact.
  const Doubles a = normals(rng, count * count), b = normals(rng, count), s = normals(rng, count);
  const SwitchGradient of_quadratic = [&](std::span<const double> at) {
    Doubles g = b;
    for (int i = 0; i < count; ++i)
      for (int j = 0; j < count; ++j) g[i] += (a[i * count + j] + a[j * count + i]) / 2 * at[j];
    return g;
  };
  const auto found = switch_curvature(of_quadratic, s, 0.05, always);
  REQUIRE(found);
  for (int i = 0; i < count; ++i)
    CHECK(std::abs((*found)[i] - a[i * count + i]) < 100 * count * epsilon / 0.05);

  // Second differences of the loss itself, through theta: truncation h^2, rounding epsilon / h^2.
  const Smooth f(rng, 12);
  const SwitchGradient of_smooth = [&](std::span<const double> at) {
    Doubles dtheta;
    f(switch_weights(columns, at), &dtheta);
    return switch_gradient(columns, at, dtheta);
  };
  const double h = 1e-3;
  const auto smooth = switch_curvature(of_smooth, s, h, always);
  REQUIRE(smooth);
  const auto loss = [&](int i, double by) {
    Doubles moved = s;
    moved[i] += by;
    return f(switch_weights(columns, moved), nullptr);
  };
  for (int i = 0; i < count; ++i)
    CHECK(std::abs((*smooth)[i] - (loss(i, h) - 2 * loss(i, 0) + loss(i, -h)) / (h * h)) < 1e-4);
}

TEST_CASE("switches: what the loss does not depend on costs no passes, and can be ended") {
  int passes = 0;
  const SwitchGradient gradient = [&](std::span<const double> s) {
    ++passes;
    return Doubles{2 * s[0], 0, 6 * s[2] * s[2], 0};
  };
  std::vector<std::int64_t> told;
  const auto found = switch_curvature(gradient, Doubles{1, 1, 1, 1}, 0.5, [&](auto done, auto of) {
    CHECK(of == 5);
    told.push_back(done);
    return true;
  });
  REQUIRE(found);
  CHECK(*found == Doubles{2, 0, 12, 0});
  CHECK(passes == 5);
  CHECK(told == std::vector<std::int64_t>{1, 3, 5});
  passes = 0;
  CHECK(!switch_curvature(gradient, Doubles{1, 1, 1, 1}, 0.5,
                          [](auto done, auto) { return done < 3; }));
  CHECK(passes == 3);
}

TEST_CASE("switches: the Laplace step is that of the paper") {
  auto rng = generator(304);
  const double lambda = 0.03;
  Doubles s = normals(rng, count), curvature = normals(rng, count), gamma = normals(rng, count),
          omega(count);
  for (Doubles* d : {&curvature, &gamma})
    for (double& x : *d) x = std::abs(x) + 0.1;
  const Doubles before = gamma;
  laplace_step(columns, s, curvature, lambda, gamma, omega);
  const auto own = [&](int i) {
    const double g = before[i], c = 1 / (1 / g + curvature[i] / lambda);
    const double w = std::sqrt(std::abs(1 / g - c / (g * g)));
    CHECK(omega[i] == doctest::Approx(w).epsilon(1e-10));
    return std::abs(s[i]) / w;
  };
  for (int i = 0; i < count; ++i) {
    const int edge = i / columns * columns + columns - 1;
    if (i == edge) {
      CHECK(gamma[i] == doctest::Approx(own(i)).epsilon(1e-10));
    } else {
      CHECK(gamma[i] == doctest::Approx(1 / (1 / own(i) + 1 / gamma[edge])).epsilon(1e-10));
    }
  }
}

TEST_CASE("switches: nothing that a search can meet makes relevance a NaN or infinite") {
  // Each curvature with each switch and each relevance that came before.
  const double extremes[] = {0, 1e-300, -1e-300, 1, -1, 1e70, -1e70};
  for (const double h : extremes)
    for (const double s : extremes)
      for (const double g : {0.0, 1e-300, 1.0, 1e70})
        for (const double edge : {0.0, 1.0}) {
          Doubles gamma{g, g}, omega(2);
          laplace_step(2, Doubles{s, edge}, Doubles{h, 1}, 0.01, gamma, omega);
          CAPTURE(h);
          CAPTURE(s);
          CAPTURE(g);
          for (int i = 0; i < 2; ++i) {
            CHECK((std::isfinite(gamma[i]) && gamma[i] >= 0));
            CHECK((std::isfinite(omega[i]) && omega[i] > 0));
          }
          // What is off, depends on nothing or lies on an edge that is off is not relevant.
          if (s == 0 || h == 0 || edge == 0) CHECK(gamma[0] == 0);
        }
}

TEST_CASE("switches: negative curvature counts as the least one") {
  Doubles gamma{1, 1, 1}, omega(3);
  laplace_step(3, Doubles{0.5, 0.5, 1}, Doubles{-3, 1e-9, 1}, 0.01, gamma, omega);
  CHECK(gamma[0] == gamma[1]);
  CHECK(omega[0] == doctest::Approx(std::sqrt(least_curvature / (1 + least_curvature))));
}
