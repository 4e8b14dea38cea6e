// SPDX-License-Identifier: MIT
// Draws and their gradients for concentrations from 1e-30 to 1e6, and alpha of any size.
#include <omp.h>

#include "kernels/alpha/dirichlet_math.h"
#include "tests/cases/dirichlet.h"
#include "tests/support/calls.h"
#include "tests/support/special_functions.h"

using namespace drnas;
using namespace drnas::test;

namespace {

double alpha_of(double beta) { return beta > 1 ? beta - 1 : std::log(beta); }

/// Evenly in the exponent.
double random_concentration(Rng& rng, double low = -30, double high = 6) {
  return std::pow(10.0, std::uniform_real_distribution<double>(low, high)(rng));
}

double relative(long double value, long double expected) {
  return static_cast<double>(std::fabs(value - expected) / std::fabs(expected));
}

/// Rows of random entries, of the least or largest ones, and of those with one of another size.
Doubles extreme_rows(Rng& rng, int ops) {
  const double least = std::log(1e-30), largest = 1e6 - 1;
  Doubles alpha;
  for (int i = 0; i < 8 * ops; ++i) alpha.push_back(alpha_of(random_concentration(rng)));
  for (const double most : {least, largest, -1e3, 0.0})
    for (const double one : {least, largest, -1e3, 0.0})
      for (int i = 0; i < ops; ++i) alpha.push_back(i == 1 ? one : most);
  return alpha;
}

void check_draw(const DirichletCase& c, const Results& drawn, const Doubles& dalpha) {
  for (int row = 0; row < c.size(); row += c.ops) {
    double theta = 0, raw = 0;
    for (int i = row; i < row + c.ops; ++i) {
      CAPTURE(c.alpha[i]);
      theta += drawn.at("theta")[i];
      raw += drawn.at("raw_theta")[i];
      CHECK((drawn.at("theta")[i] >= 0 && drawn.at("raw_theta")[i] >= 0));
      CHECK(std::isfinite(drawn.at("derivative")[i]));
      CHECK(std::isfinite(dalpha[i]));
    }
    CHECK(std::abs(theta - 1) < 2 * c.ops * 2.3e-16);
    CHECK(std::abs(raw - 1) < 2 * c.ops * 2.3e-16);
  }
}

}  // namespace

TEST_CASE("extreme concentrations: elu(alpha) + 1 for alpha from -1e3 to 1e6") {
  double last = 0;
  for (double alpha = -1e3; alpha <= 1e6; alpha += alpha < 0 ? 0.37 : 1e3) {
    CAPTURE(alpha);
    const double beta = kernels::concentration_of(alpha);
    const long double exact =
        alpha > 0 ? alpha + 1.0L : std::exp(std::max(static_cast<long double>(alpha), -350.0L));
    CHECK(relative(beta, exact) < 2.3e-16);
    CHECK((beta > last || (beta == last && alpha < -349)));
    CHECK(std::isfinite(1 / (beta * beta)));
    CHECK(std::isfinite(kernels::concentration_slope(alpha, beta)));
    last = beta;
  }
  CHECK(kernels::concentration_of(-0.0) == 1);
  CHECK(std::isnan(kernels::concentration_of(NAN)));
}

TEST_CASE("extreme concentrations: draws lie on the simplex, gradients are finite") {
  auto rng = generator(901);
  for (const int ops : {2, 5, 16})
    for (const bool masked : {false, true}) {
      DirichletCase c(static_cast<int>(extreme_rows(rng, 1).size()), ops, extreme_rows(rng, ops));
      for (int i = 0; masked && i < c.size(); ++i) c.mask.push_back(i % ops == 0 || rng() % 2);
      c.dtheta = normals(rng, c.size());
      for (c.step = 0; c.step < 20; ++c.step)
        check_draw(c, OnCpu{}([&](auto& b) { return c.sample(b); }),
                   OnCpu{}([&](auto& b) { return c.backward(b); }).at("dalpha"));
    }
}

TEST_CASE("extreme concentrations: tiny ones choose an entry, huge ones share evenly") {
  constexpr int edges = 200, ops = 4;
  const auto draw = [&](double beta) {
    const DirichletCase c(edges, ops, Doubles(edges * ops, alpha_of(beta)));
    return OnCpu{}([&](auto& b) { return c.sample(b); }).at("theta");
  };
  int chosen[ops] = {};
  const Doubles tiny = draw(1e-30), huge = draw(1e6);
  for (int i = 0; i < edges * ops; ++i) {
    CHECK((tiny[i] == 0 || tiny[i] == 1));
    chosen[i % ops] += tiny[i] == 1;
    // Six standard deviations: the variance is 1/4 3/4 / (4e6 + 1).
    CHECK(std::abs(huge[i] - 0.25) < 6 * std::sqrt(0.1875 / 4e6));
  }
  for (const int count : chosen) CHECK(std::abs(count - 50) < 6 * std::sqrt(200 * 0.1875));
}

TEST_CASE("extreme concentrations: trigamma and differences of digamma") {
  auto rng = generator(902);
  double worst[2] = {};
  for (int i = 0; i < 3000; ++i) {
    const double a = random_concentration(rng), b = random_concentration(rng);
    const long double psi = psi_reference(a);
    worst[0] = std::max(worst[0], relative(kernels::trigamma(a), trigamma_reference(a)));
    // The reference subtracts, and so loses some eps80 (1 + |psi|) of absolute precision.
    const long double difference = psi_reference(static_cast<long double>(a) + b) - psi;
    const long double lost = 20 * 1.1e-19L * (1 + std::fabs(psi));
    const long double error = std::fabs(kernels::digamma_difference(a, b) - difference) - lost;
    worst[1] = std::max(worst[1], static_cast<double>(error / std::max(difference, lost)));
  }
  MESSAGE("largest errors: trigamma ", worst[0], ", difference ", worst[1]);
  for (const double w : worst) CHECK(w < 20 * 2.3e-16);  // about twenty rounded operations
}

TEST_CASE("extreme concentrations: derivative against the positive-term series") {
  auto rng = generator(903);
  double worst = 0;
  int compared = 0;
  for (int i = 0; i < 3000; ++i) {
    const double a = random_concentration(rng), b = random_concentration(rng);
    std::gamma_distribution<double> of_a(a), of_b(b);
    const double u = of_a(rng), v = of_b(rng);
    // Where a draw of this law lies, if a double holds it, else anywhere.
    double x = u > 0 && v > 0 ? u / (u + v) : random_concentration(rng, -12, 0);
    if (u <= 0 && i % 2 == 0) x = 1 - x;
    // Elsewhere the series would need too many terms.
    if (!(x > 1e-280 && x < 0.9999) || (x < 1e-5 && x * b > 0.1)) continue;
    ++compared;
    const double y = 1 - x, log_x = x < 0.5 ? std::log(x) : std::log1p(-y);
    const double got = kernels::dirichlet_derivative(x, y, log_x, a, b);
    const auto expected = static_cast<double>(derivative_by_series(x, 1.0L - x, a, b));
    // Above the mode, terms of the size of ln x are subtracted and the rest divided by b. With a
    // tiny b no draw lies there but with a probability of b.
    const double lost = x > (a + 1) / (a + b + 2) ? 8 * 2.3e-16 * x * std::abs(log_x) / b : 0;
    CAPTURE(x);
    CAPTURE(a);
    CAPTURE(b);
    CHECK(std::abs(got - expected) <= 1e-9 * std::abs(expected) + lost);
    if (lost < 1e-12 * std::abs(expected)) worst = std::max(worst, std::abs(got / expected - 1));
  }
  MESSAGE(compared, " compared, largest relative error ", worst);
  CHECK(compared > 1000);
}

TEST_CASE("extreme concentrations: slope of the divergence") {
  auto rng = generator(904);
  for (int i = 0; i < 1000; ++i) {
    double beta[7];
    long double total = 0;
    for (double& b : beta) total += b = random_concentration(rng);
    const long double own = (beta[2] - 1.0L) * trigamma_reference(beta[2]),
                      shared = (total - 7) * trigamma_reference(total);
    const double slope = kernels::kl_to_uniform_slope(beta, 7, 2);
    CHECK(std::abs(static_cast<double>(slope - (own - shared))) <=
          40 * 2.3e-16 * static_cast<double>(std::fabs(own) + std::fabs(shared)));
  }
}
