// SPDX-License-Identifier: MIT
#include "tests/cases/dirichlet.h"

#include <omp.h>

#include "kernels/alpha/dirichlet_math.h"
#include "tests/support/calls.h"
#include "tests/support/special_functions.h"

namespace {

using drnas::Device;
namespace kernels = drnas::kernels;
namespace test = drnas::test;
using Values = std::vector<double>;
using Mask = std::vector<std::uint8_t>;

/// Rows of alpha with everything that a draw leaves.
struct Draw : test::DirichletCase {
  using DirichletCase::DirichletCase;
  void sample(std::uint64_t of_seed, std::uint32_t of_step) {
    seed = of_seed, step = of_step;
    const test::Results r = test::OnCpu{}([&](auto& b) { return DirichletCase::sample(b); });
    concentration = r.at("concentration"), theta = r.at("theta"), derivative = r.at("derivative"),
    raw = r.at("raw_theta");
  }
  Values backward(const Values& g) {
    dtheta = g;
    return test::OnCpu{}([&](auto& b) { return DirichletCase::backward(b); }).at("dalpha");
  }
  bool kept(std::size_t i) const { return mask.empty() || mask[i] != 0; }

  Values concentration, theta, derivative, raw;
};

Values random_values(std::mt19937_64& random, std::size_t count, double lo, double hi) {
  std::uniform_real_distribution<double> uniform(lo, hi);
  Values out(count);
  for (double& v : out) v = uniform(random);
  return out;
}

double alpha_of(double concentration) {
  return concentration > 1.0 ? concentration - 1.0 : std::log(concentration);
}

/// theta of one row as a function of alpha_k alone: coordinate k keeps its quantile of Beta(beta_k,
/// rest), the others their proportions, then masking; returns sum_i g_i theta_i.
long double loss_at(const Draw& d, const Values& g, int k, long double alpha_k) {
  const auto at = [](const Values& v, int i) { return static_cast<long double>(v[i]); };
  const long double a = alpha_k > 0 ? alpha_k + 1 : std::exp(alpha_k);
  long double rest = 0.0L;
  for (int j = 0; j < d.ops; ++j) rest += j == k ? 0.0L : at(d.concentration, j);
  const long double x = at(d.raw, k);
  const long double p = test::incomplete_beta(x, at(d.concentration, k), rest);
  const long double moved = test::beta_quantile(p, a, rest, x);
  long double loss = 0.0L, kept = 0.0L;
  for (int j = 0; j < d.ops; ++j) {
    if (!d.kept(j)) continue;
    const long double share = j == k ? moved : at(d.raw, j) * (1 - moved) / (1 - x);
    loss += at(g, j) * share;
    kept += share;
  }
  return loss / kept;
}

TEST_CASE("dirichlet: mean, variance and derivative of theta have their expectations") {
  constexpr int draws = 20000, ops = 5;
  const Values beta = {0.05, 0.4, 1.0, 1.7, 4.0};
  Values alpha;
  double total = 0.0;
  for (double b : beta) alpha.push_back(alpha_of(b)), total += b;
  Draw d(1, ops, alpha);
  Values mean(ops), square(ops), moment(ops), moment_square(ops);
  for (std::uint32_t step = 0; step < draws; ++step) {
    d.sample(31, step);
    for (int i = 0; i < ops; ++i) {
      const double m = d.derivative[i] * (1.0 - d.theta[i]);
      mean[i] += d.theta[i] / draws;
      square[i] += d.theta[i] * d.theta[i] / draws;
      moment[i] += m / draws;
      moment_square[i] += m * m / draws;
    }
  }
  for (int i = 0; i < ops; ++i) {
    const double expected = beta[i] / total;
    const double variance = expected * (1.0 - expected) / (total + 1.0);
    CHECK(std::fabs(mean[i] - expected) < 5.0 * std::sqrt(variance / draws));
    // theta^2 <= theta bounds the variance of the square by its mean.
    const double second = variance + expected * expected;
    CHECK(std::fabs(square[i] - second) < 5.0 * std::sqrt(second / draws));
    // d E[x]/da = b/(a+b)^2 is the mean of dx/da.
    const double error = std::sqrt((moment_square[i] - moment[i] * moment[i]) / draws);
    CHECK(std::fabs(moment[i] - (total - beta[i]) / (total * total)) < 5.0 * error);
  }
}

TEST_CASE("dirichlet: draws lie on the simplex down to concentration 1e-3, for any threads") {
  constexpr int edges = 14, ops = 7;
  std::mt19937_64 random(4);
  const int before = omp_get_max_threads();
  for (double least : {1e-3, 0.02, 0.7}) {
    Mask mask(edges * ops, 1);
    for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = random() % 2 == 0 || i % ops == 3;
    Draw d(edges, ops, random_values(random, edges * ops, std::log(least), 0.0), mask);
    for (std::uint32_t step = 0; step < 40; ++step) {
      omp_set_num_threads(1);
      d.sample(9, step);
      Draw other = d;
      omp_set_num_threads(3);
      other.sample(9, step);
      CHECK(other.theta == d.theta);
      CHECK(other.derivative == d.derivative);
      for (int edge = 0; edge < edges; ++edge) {
        double theta = 0.0, raw = 0.0;
        for (int i = edge * ops; i < (edge + 1) * ops; ++i) {
          theta += d.theta[i];
          raw += d.raw[i];
          REQUIRE((d.theta[i] >= 0.0 && d.raw[i] >= 0.0 && std::isfinite(d.derivative[i])));
          CHECK((d.kept(i) || d.theta[i] == 0.0));
        }
        CHECK(std::fabs(theta - 1.0) < 2 * ops * 2.3e-16);
        CHECK(std::fabs(raw - 1.0) < 2 * ops * 2.3e-16);
      }
      for (double g : d.backward(random_values(random, edges * ops, -1.0, 1.0)))
        CHECK(std::isfinite(g));
    }
  }
  omp_set_num_threads(before);
}

TEST_CASE("dirichlet: an entry's draw depends on seed, step, place and concentration alone") {
  Draw d(3, 4, Values(12, 0.25));
  d.sample(5, 6);
  for (int i = 0; i < 12; ++i) CHECK(d.concentration[i] == 1.25);
  const kernels::RandomStream stream(5, kernels::Purpose::mixing);
  for (std::uint32_t edge = 0; edge < 3; ++edge) {
    double gamma[4], total = 0.0;
    for (std::uint32_t op = 0; op < 4; ++op)
      total += gamma[op] = std::exp(kernels::log_gamma_sample(1.25, stream, 6, 4 * edge + op));
    for (std::uint32_t op = 0; op < 4; ++op)
      CHECK(std::fabs(d.raw[4 * edge + op] - gamma[op] / total) < 1e-14);
  }
  CHECK(d.raw == d.theta);
  Draw other = d;
  other.sample(5, 7);
  CHECK(other.theta != d.theta);
  other.sample(6, 6);
  CHECK(other.theta != d.theta);
}

TEST_CASE("dirichlet: gradient for alpha against differences at a fixed quantile, masked or not") {
  std::mt19937_64 random(5);
  double worst = 0.0;
  int compared = 0;
  for (int round = 0; round < 40; ++round) {
    const int ops = 3 + round % 4;
    Mask mask;
    if (round % 2 == 1) {
      mask.assign(static_cast<std::size_t>(ops), 1);
      mask[random() % ops] = 0;
    }
    Draw d(1, ops, random_values(random, ops, -1.5, 1.5), mask);
    d.sample(round, 3);
    const Values g = random_values(random, ops, -1.0, 1.0);
    const Values dalpha = d.backward(g);
    for (int k = 0; k < ops; ++k) {
      if (d.raw[k] < 1e-4 || d.raw[k] > 0.999 || std::fabs(d.alpha[k]) < 2e-3) continue;
      const auto slope = [&](long double h) {
        return (loss_at(d, g, k, d.alpha[k] + h) - loss_at(d, g, k, d.alpha[k] - h)) / (2 * h);
      };
      // Richardson: the error left is of order h^4 = 1e-12 and eps80 / h = 1e-16.
      const long double expected = (4 * slope(5e-4L) - slope(1e-3L)) / 3;
      worst = std::max(worst, static_cast<double>(std::fabs(dalpha[k] - expected)));
      ++compared;
    }
  }
  MESSAGE(compared, " entries, largest difference ", worst);
  CHECK(compared > 100);
  CHECK(worst < 1e-9);
}

TEST_CASE("dirichlet: masked gradient is the chain of draw and rescaling, zero for the pruned") {
  constexpr int ops = 6;
  std::mt19937_64 random(6);
  Draw d(1, ops, random_values(random, ops, -1.0, 1.0), {1, 0, 1, 1, 0, 1});
  d.sample(12, 1);
  const Values g = random_values(random, ops, -1.0, 1.0), dalpha = d.backward(g);
  const auto loss = [&](const Values& x) {
    double sum = 0.0, kept = 0.0;
    for (int i = 0; i < ops; ++i) sum += d.mask[i] * x[i] * g[i], kept += d.mask[i] * x[i];
    return sum / kept;
  };
  Values inner(ops);
  double mean = 0.0;
  const double h = 1e-5;
  for (int i = 0; i < ops; ++i) {
    Values up = d.raw, down = d.raw;
    up[i] += h;
    down[i] -= h;
    inner[i] = (loss(up) - loss(down)) / (2 * h);
    mean += d.raw[i] * inner[i];
  }
  for (int i = 0; i < ops; ++i) {
    const double slope = d.alpha[i] > 0 ? 1.0 : std::exp(d.alpha[i]);
    CHECK(std::fabs(dalpha[i] - slope * d.derivative[i] * (inner[i] - mean)) < 1e-7);
    if (d.mask[i] == 0) CHECK(dalpha[i] == 0.0);
  }
}

TEST_CASE("dirichlet: kept entries too small for a double still share the row") {
  Draw d(1, 3, {-7.0, -7.0, 5.0}, {1, 1, 0});
  int underflows = 0;
  for (std::uint32_t step = 0; step < 100; ++step) {
    d.sample(3, step);
    CHECK(std::fabs(d.theta[0] + d.theta[1] - 1.0) < 1e-15);
    if (d.raw[0] + d.raw[1] > 0.0) continue;
    ++underflows;
    CHECK(d.backward({1.0, 2.0, 3.0}) == Values(3, 0.0));
  }
  CHECK(underflows > 0);
}

TEST_CASE("dirichlet: rows with nothing kept, one entry, bad sizes, NaN") {
  Draw none(1, 3, {0.1, 0.2, 0.3}, {0, 0, 0});
  none.sample(1, 1);
  CHECK(none.theta == Values(3, 0.0));
  CHECK(none.backward({1.0, 2.0, 3.0}) == Values(3, 0.0));
  Draw one(2, 1, {0.1, -0.3});
  one.sample(1, 1);
  CHECK(one.theta == Values(2, 1.0));
  CHECK(one.backward({1.0, 2.0}) == Values(2, 0.0));
  Draw nan(2, 2, {NAN, 0.0, 0.0, 0.0});
  nan.sample(1, 1);
  CHECK((std::isnan(nan.theta[0]) && std::isnan(nan.theta[1]) && std::isfinite(nan.theta[2])));
  none.ops = 17;
  CHECK_THROWS_WITH_AS(none.sample(1, 1),
                       "dirichlet_sample: 1 rows of 17 entries, expected 1 to 16 entries",
                       drnas::Error);
}

}  // namespace
