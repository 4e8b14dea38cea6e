// SPDX-License-Identifier: MIT
#include "kernels/alpha/dirichlet_math.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "tests/parity/golden.h"
#include "tests/support/special_functions.h"

namespace {

namespace kernels = drnas::kernels;
namespace test = drnas::test;
using Values = std::vector<double>;

double relative(long double value, long double expected) {
  return static_cast<double>(std::fabs(value - expected) / std::fabs(expected));
}

double derivative_at(double x, double a, double b) {
  const double y = 1.0 - x;
  return kernels::dirichlet_derivative(x, y, x < 0.5 ? std::log(x) : std::log1p(-y), a, b);
}

Values random_values(std::mt19937_64& random, std::size_t count, double lo, double hi) {
  std::uniform_real_distribution<double> uniform(lo, hi);
  Values out(count);
  for (double& v : out) v = uniform(random);
  return out;
}

TEST_CASE("dirichlet: trigamma and differences of digamma against extended precision") {
  std::mt19937_64 random(1);
  double worst[2] = {};
  for (int i = 0; i < 3000; ++i) {
    const Values e = random_values(random, 2, -3.0, 4.0);
    const double a = std::pow(10.0, e[0]), b = std::pow(10.0, e[1]);
    const long double psi = test::psi_reference(a);
    worst[0] = std::max(worst[0], relative(kernels::trigamma(a), test::trigamma_reference(a)));
    // The reference subtracts, and so loses some eps80 (1 + |psi|) of absolute precision.
    const long double difference = test::psi_reference(static_cast<long double>(a) + b) - psi;
    const long double lost = 20 * 1.1e-19L * (1.0L + std::fabs(psi));
    const long double error = std::fabs(kernels::digamma_difference(a, b) - difference) - lost;
    worst[1] = std::max(worst[1], static_cast<double>(error / difference));
  }
  MESSAGE("largest errors: trigamma ", worst[0], ", difference ", worst[1]);
  for (double w : worst) CHECK(w < 20 * 2.3e-16);  // about twenty rounded operations
  CHECK(relative(kernels::trigamma(1.0), 1.644934066848226436) < 1e-14);
}

TEST_CASE("dirichlet: trigamma and differences of digamma end below zero too, without a value") {
  for (const double a : {-HUGE_VAL, -1e300, -0.5}) {
    CHECK(std::isnan(kernels::trigamma(a)));
    CHECK(std::isnan(kernels::digamma_difference(a, 1.0)));
  }
}

TEST_CASE("dirichlet: derivative at fixed values and against its closed forms") {
  CHECK(relative(derivative_at(.5, 2.3, 1.7), .271494639551936812L) < 1e-14);
  CHECK(relative(derivative_at(.2, 1, 4), .250536383159032927L) < 1e-14);
  CHECK(relative(derivative_at(.05, .5, 4.5), .190797159939807587L) < 1e-14);
  std::mt19937_64 random(2);
  for (int i = 0; i < 2000; ++i) {
    const double a = std::pow(10.0, random_values(random, 1, -3.0, 3.0)[0]);
    const double x = random_values(random, 1, 0.001, 0.999)[0], y = 1.0 - x;
    const long double lx =
        x < 0.5 ? std::log(static_cast<long double>(x)) : std::log1p(-static_cast<long double>(y));
    const long double la = a, one = -x * lx / (la * y);
    CHECK(relative(derivative_at(x, a, 1.0), one) < 1e-12);
    // Loses eps80 / y^2 of relative precision, 1e-13 here.
    const long double two = -x * (lx * (1 + la - la * x) + y) / (la * (la + 1) * y * y);
    CHECK(relative(derivative_at(x, a, 2.0), two) < 1e-11);
  }
}

TEST_CASE("dirichlet: derivative against the golden table") {
  const auto path = test::golden_file("beta_pathwise.csv");
  if (!path) {
    MESSAGE("skipped: DRNAS_GOLDEN_DIR names no folder with beta_pathwise.csv");
    return;
  }
  const test::NumberTable table = test::read_number_table(*path);
  REQUIRE(table.rows.size() >= 100);
  const std::size_t x_at = table.column("x"), a_at = table.column("a"), b_at = table.column("b"),
                    dx_at = table.column("dx_da");
  double worst = 0.0, worst_at[3] = {};
  for (const Values& row : table.rows) {
    const double x = row[x_at], y = 1.0 - x, a = row[a_at], b = row[b_at];
    const double log_x = x < 0.5 ? std::log(x) : std::log1p(-y);
    const double error = relative(y * kernels::dirichlet_derivative(x, y, log_x, a, b), row[dx_at]);
    CHECK(error < 1e-11);
    if (!(error > worst)) continue;
    worst = error;
    worst_at[0] = x, worst_at[1] = a, worst_at[2] = b;
  }
  MESSAGE("largest relative error ", worst, " at x, a, b = ", worst_at[0], ", ", worst_at[1], ", ",
          worst_at[2], " of ", table.rows.size(), " rows");
}

TEST_CASE("dirichlet: derivative against the positive-term series at random points") {
  std::mt19937_64 random(3);
  double worst = 0.0;
  for (int i = 0; i < 4000; ++i) {
    const Values e = random_values(random, 2, -3.0, 3.0);
    double a = std::pow(10.0, e[0]), b = std::pow(10.0, e[1]);
    // At whole numbers the fraction ends, but its derivative does not.
    if (i % 5 == 0) a = std::ceil(a);
    if (i % 3 == 0) b = std::ceil(b);
    std::gamma_distribution<double> ga(a), gb(b);
    const double u = ga(random), v = gb(random);
    double x = i % 2 == 0 ? u / (u + v) : std::pow(10.0, random_values(random, 1, -12.0, 0.0)[0]);
    if (i % 4 == 3) x = 1.0 - x;
    if (!(x > 1e-280 && x < 0.9999)) continue;  // the series would need too many terms
    worst = std::max(
        worst, relative(derivative_at(x, a, b), test::derivative_by_series(x, 1.0L - x, a, b)));
  }
  MESSAGE("largest relative error ", worst);
  CHECK(worst < 1e-11);
}

TEST_CASE("dirichlet: leading term joins the fraction, and the ends of the interval are finite") {
  for (double a : {1e-3, 0.01, 0.7, 40.0}) {
    for (double b : {1e-3, 0.3, 1.0, 90.0}) {
      const double below = derivative_at(0.999e-250, a, b), above = derivative_at(1.001e-250, a, b);
      const double ratio = below / above * (1.001 / 0.999);
      CHECK(std::fabs(ratio - 1.0) < 1e-4);  // the logarithm changes by 0.002 in 575
      CHECK(kernels::dirichlet_derivative(0.0, 1.0, -9000.0, a, b) == 0.0);
      const double end = kernels::dirichlet_derivative(1.0, 0.0, 0.0, a, b);
      CHECK(relative(end, (test::psi_reference(static_cast<long double>(a) + b) -
                           test::psi_reference(a)) /
                              b) < 1e-13);
    }
  }
}

TEST_CASE("dirichlet: gamma draws have their distribution") {
  constexpr int n = 20000;
  for (double a : {1e-3, 0.05, 0.7, 1.0, 3.0, 50.0}) {
    std::vector<double> u;
    const kernels::RandomStream stream(17, kernels::Purpose::synthetic);
    for (std::uint32_t i = 0; i < n; ++i) {
      const double draw = kernels::log_gamma_sample(a, stream, 5, i);
      REQUIRE(std::isfinite(draw));
      u.push_back(static_cast<double>(test::incomplete_gamma(a, draw)));
    }
    std::sort(u.begin(), u.end());
    double distance = 0.0;
    for (int i = 0; i < n; ++i)
      distance = std::max({distance, u[i] - double(i) / n, double(i + 1) / n - u[i]});
    // Kolmogorov: 2 exp(-2 n d^2) = 1e-9.
    CHECK_MESSAGE(distance < std::sqrt(std::log(2e9) / (2.0 * n)), "concentration ", a);
  }
  const kernels::RandomStream stream(17, kernels::Purpose::synthetic);
  const kernels::PhiloxWords w = stream.words(8, 9, 1);  // the boost is independent of acceptance
  const double boost = std::log(kernels::uniform_double(w.word[2], w.word[3]));
  CHECK(
      kernels::log_gamma_sample(0.25, stream, 8, 9) ==
      doctest::Approx(kernels::log_gamma_sample(1.25, stream, 8, 9) + 4.0 * boost).epsilon(1e-14));
  for (double bad : {0.0, -1.0, double(NAN), double(INFINITY)})
    CHECK(std::isnan(kernels::log_gamma_sample(bad, stream, 0, 0)));
}

TEST_CASE("dirichlet: a simplex coordinate keeps its precision at both ends") {
  const double log_gamma[3] = {1.0, -60.0, -900.0};
  const auto large = kernels::simplex_coordinate(log_gamma, 3, 0);
  CHECK(large.x == 1.0);
  CHECK(relative(large.y, std::exp(-61.0)) < 1e-14);
  CHECK(relative(large.log_x, -std::exp(-61.0)) < 1e-14);
  const auto small = kernels::simplex_coordinate(log_gamma, 3, 1);
  CHECK(relative(small.x, std::exp(-61.0)) < 1e-14);
  CHECK(small.y == 1.0);
  const auto least = kernels::simplex_coordinate(log_gamma, 3, 2);
  CHECK(least.x == 0.0);
  CHECK(relative(least.log_x, -901.0) < 1e-14);
  const std::uint8_t mask[3] = {0, 1, 1};
  CHECK(kernels::kept_share(log_gamma, mask, 3, 0) == 0.0);
  CHECK(kernels::kept_share(log_gamma, mask, 3, 1) == 1.0);
}

}  // namespace
