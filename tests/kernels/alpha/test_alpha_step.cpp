// SPDX-License-Identifier: MIT
// The end of an architecture step against its formulas in extended precision.
#include <limits>

#include "tests/cases/alpha_step.h"
#include "tests/support/calls.h"
#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;

namespace {

using Reals = std::vector<long double>;

long double beta_of(long double alpha) { return alpha > 0 ? alpha + 1 : std::exp(alpha); }
long double slope_of(long double alpha) { return alpha > 0 ? 1 : std::exp(alpha); }

/// KL(Dir(beta) || Dir(1, ..., 1)) of one row, psi by differences of ln G.
long double kl_of(const Reals& alpha) {
  const auto psi = [](long double x) {
    const auto slope = [x](long double h) {
      return (std::lgamma(x + h) - std::lgamma(x - h)) / (2 * h);
    };
    return (4 * slope(1e-4L * x) - slope(2e-4L * x)) / 3;
  };
  long double total = 0;
  for (const long double a : alpha) total += beta_of(a);
  long double kl = std::lgamma(total) - std::lgamma(static_cast<long double>(alpha.size()));
  for (const long double a : alpha)
    kl += (beta_of(a) - 1) * (psi(beta_of(a)) - psi(total)) - std::lgamma(beta_of(a));
  return kl;
}

/// dL/dalpha of the draw by the chain of its two maps: theta_i = m_i x_i / S with S = sum m x, and
/// dx_i/dbeta_i = D_i (1 - x_i), the others in proportion.
void add_draw_gradient(const AlphaCase& c, int row, Reals& out) {
  const auto of = [&](AlphaCase::Table t, int i) -> long double {
    return c.values[t * c.size() + row + i];
  };
  const auto kept = [&](int i) -> long double { return c.mask.empty() ? 1 : c.mask[row + i]; };
  long double share = 0, weighted = 0, inner_mean = 0;
  for (int i = 0; i < c.ops; ++i) share += kept(i) * of(AlphaCase::raw_theta, i);
  if (share == 0) return;
  for (int i = 0; i < c.ops; ++i)
    weighted += kept(i) * of(AlphaCase::raw_theta, i) / share * of(AlphaCase::dtheta, i);
  const auto inner = [&](int i) { return kept(i) * (of(AlphaCase::dtheta, i) - weighted) / share; };
  for (int i = 0; i < c.ops; ++i) inner_mean += of(AlphaCase::raw_theta, i) * inner(i);
  for (int i = 0; i < c.ops; ++i)
    if (kept(i) != 0)
      out[row + i] += slope_of(of(AlphaCase::alpha, i)) * of(AlphaCase::derivative, i) *
                      (inner(i) - inner_mean);
}

void add_kl_gradient(const AlphaCase& c, int row, Reals& out) {
  Reals alpha(c.values.begin() + row, c.values.begin() + row + c.ops);
  for (int i = 0; i < c.ops; ++i) {
    const auto slope = [&](long double h) {
      Reals up = alpha, down = alpha;
      up[i] += h;
      down[i] -= h;
      return (kl_of(up) - kl_of(down)) / (2 * h);
    };
    out[row + i] += c.kl * (4 * slope(1e-3L) - slope(2e-3L)) / 3;
  }
}

Reals expected_gradient(const AlphaCase& c) {
  Reals out(c.size(), 0);
  for (int i = 0; !c.draws && i < c.size(); ++i) out[i] = c.values[c.gradient * c.size() + i];
  for (int row = 0; row < c.size(); row += c.ops) {
    if (c.draws) add_draw_gradient(c, row, out);
    if (c.kl != 0) add_kl_gradient(c, row, out);
  }
  return out;
}

void run_on_cpu(AlphaCase& c) {
  c = c.after(OnCpu{}([&](auto& b) { return c.step(b); }));
}

Doubles narrowed(const Reals& values) { return {values.begin(), values.end()}; }

const std::pair<int, int> shapes[] = {{1, 1}, {1, 7}, {6, 5}, {3, 16}, {14, 7}, {28, 8}};

}  // namespace

TEST_CASE("alpha_step: gradient and norm against extended precision, masked or not") {
  auto rng = generator(91);
  for (const auto& shape : shapes)
    for (const bool draws : {true, false})
      for (const double kl : {0.0, 0.3})
        for (const bool masked : {false, true}) {
          const int edges = shape.first, ops = shape.second;
          CAPTURE(edges);
          CAPTURE(draws);
          CAPTURE(kl);
          CAPTURE(masked);
          AlphaCase c(rng, edges, ops, draws, kl, masked);
          // The second derivative of elu jumps at 0: differences across it are off.
          for (int i = 0; i < c.size(); ++i)
            if (std::abs(c.values[i]) < 3e-3) c.values[i] = 0.1;
          c.draw(3);
          const Reals expected = expected_gradient(c);
          long double squares = 0, largest = 0;
          for (const long double g : expected) {
            squares += g * g;
            largest = std::max(largest, std::abs(g));
          }
          run_on_cpu(c);
          // Differences leave h^4 and what their rounding costs; sums cancel, a single entry to
          // zero.
          const double bound = (kl != 0 ? 1e-8 : 1e-13) * static_cast<double>(largest) + 1e-15;
          const Doubles got = c.table(c.gradient);
          for (int i = 0; i < c.size(); ++i)
            CHECK(std::abs(got[i] - static_cast<double>(expected[i])) <= bound);
          CHECK(c.squared_norm() ==
                doctest::Approx(static_cast<double>(squares)).epsilon(kl != 0 ? 1e-7 : 1e-12));
        }
}

TEST_CASE("alpha_step: the divergence has no slope at concentrations of one") {
  auto rng = generator(92);
  AlphaCase c(rng, 2, 5, false, 0.5, false);
  std::fill_n(c.at(c.alpha), c.size(), 0.0);
  c.draw(1);
  const Doubles before = c.table(c.gradient);
  run_on_cpu(c);
  CHECK(c.table(c.gradient) == before);
}

TEST_CASE("alpha_step: twenty steps against Adam in long double") {
  auto rng = generator(93);
  AlphaCase c(rng, 6, 5, true, 0.0, true);
  for (const AlphaCase::Table t : {c.first, c.second}) std::fill_n(c.at(t), c.size(), 0.0);
  const Doubles start = c.table(c.alpha);
  Reals w(start.begin(), start.end()), m(c.size(), 0), v(c.size(), 0);
  for (int step = 1; step <= 20; ++step) {
    c.draw(step);
    const Doubles upstream = normals(rng, c.size());
    std::copy(upstream.begin(), upstream.end(), c.at(c.dtheta));
    run_on_cpu(c);
    REQUIRE(c.steps == step);
    const Doubles gradient = c.table(c.gradient);
    for (int i = 0; i < c.size(); ++i) {
      const long double g = gradient[i] + 1e-3L * w[i];
      m[i] = 0.5L * m[i] + 0.5L * g;
      v[i] = 0.999L * v[i] + 0.001L * g * g;
      w[i] -= 3e-4L * (m[i] / (1 - std::pow(0.5L, step))) /
              (std::sqrt(v[i] / (1 - std::pow(0.999L, step))) + 1e-8L);
    }
  }
  CHECK(max_error(c.table(c.alpha), narrowed(w)) < 1e-12);
  CHECK(max_error(c.table(c.first), narrowed(m)) < 1e-12);
  CHECK(max_error(c.table(c.second), narrowed(v)) < 1e-12);
}

TEST_CASE("alpha_step: what is not finite changes nothing but gradient and norm") {
  auto rng = generator(94);
  using Limits = std::numeric_limits<double>;
  for (const bool draws : {true, false})
    // The last one is finite, but its square is not.
    for (const double fault : {Limits::quiet_NaN(), Limits::infinity(), 1e200}) {
      AlphaCase c(rng, 6, 5, draws, 0.0, false);
      c.steps = 7;
      c.at(draws ? c.dtheta : c.gradient)[11] = fault;
      const AlphaCase before = c;
      run_on_cpu(c);
      CHECK(!std::isfinite(c.squared_norm()));
      for (const AlphaCase::Table t : {c.alpha, c.first, c.second})
        CHECK(c.table(t) == before.table(t));
      CHECK(c.steps == 7);
    }
}

TEST_CASE("alpha_step: sizes that no row has are refused") {
  auto rng = generator(95);
  AlphaCase c(rng, 1, 16, false, 0.0, false);
  c.ops = 17;
  CHECK_THROWS_WITH_AS(run_on_cpu(c), "alpha_step: 1 rows of 17 entries, expected 1 to 16 entries",
                       Error);
}
