// SPDX-License-Identifier: MIT
#include "nas/diagnostics/hessian.h"

#include "nas/options/hessian_option.h"

#include <numeric>

#include "kernels/core/error.h"
#include "tests/nas/diagnostics/power_iteration.h"
#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;

namespace {

constexpr double epsilon = 0x1p-52;

/// Row-major, symmetric.
Matrix symmetric(std::mt19937_64& rng, int n) {
  Matrix m(n);
  std::normal_distribution<double> normal;
  for (int i = 0; i < n; ++i)
    for (int j = 0; j <= i; ++j) m.at(i, j) = m.at(j, i) = normal(rng);
  return m;
}

/// 1/2 x^T A x + b^T x.
struct Quadratic {
  Matrix a;
  Doubles b;

  double operator()(std::span<const double> x, Doubles* gradient) const {
    double value = 0;
    if (gradient) gradient->assign(x.size(), 0.0);
    for (int i = 0; i < a.size; ++i) {
      double row = 0;
      for (int j = 0; j < a.size; ++j) row += a.at(i, j) * x[j];
      value += x[i] * (row / 2 + b[i]);
      if (gradient) (*gradient)[i] = row + b[i];
    }
    return value;
  }
};

std::optional<Matrix> hessian_of(const Objective& f, const Doubles& x,
                                 const std::vector<int>& active, double step) {
  return hessian(f, x, active, step, [](int) { return true; });
}

std::vector<int> all_of(int n) {
  std::vector<int> indices(static_cast<std::size_t>(n));
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

/// Rows of 5, 3, 2 and 1 entries, their number and softmax.
struct Rows {
  SimplexRows rows{{0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3}, 4};
  int size() const { return static_cast<int>(rows.row.size()); }
  Doubles softmax(std::span<const double> mu) const {
    Doubles theta, total(4);
    for (const double m : mu) theta.push_back(std::exp(m));
    for (int i = 0; i < size(); ++i) total[rows.row[i]] += theta[i];
    for (int i = 0; i < size(); ++i) theta[i] /= total[rows.row[i]];
    return theta;
  }
};

}  // namespace

TEST_CASE("hessian: that of a quadratic is exact, on all entries and on some") {
  auto rng = generator(71);
  for (const int n : {1, 2, 30}) {
    const Quadratic f{symmetric(rng, n), normals(rng, n)};
    const Doubles x = normals(rng, n);
    // Each entry is a difference of two gradients of size |A x + b|, divided by 2h.
    const double step = 0.25, tolerance = 8 * n * epsilon * 10 / step;
    const auto h = hessian_of(f, x, all_of(n), step);
    REQUIRE(h);
    CHECK(max_error(h->values, f.a.values, 1.0) < tolerance);
    std::vector<int> some;
    for (int i = 0; i < n; i += 2) some.push_back(i);
    const auto part = hessian_of(f, x, some, step);
    REQUIRE(part->size == static_cast<int>(some.size()));
    for (int i = 0; i < part->size; ++i)
      for (int j = 0; j < part->size; ++j)
        CHECK(std::abs(part->at(i, j) - f.a.at(some[i], some[j])) < tolerance);
  }
}

TEST_CASE("hessian: differences are central: a quartic is off by 4 h^2") {
  const Objective quartic = [](std::span<const double> x, Doubles* gradient) {
    if (gradient) *gradient = {4 * x[0] * x[0] * x[0]};
    return x[0] * x[0] * x[0] * x[0];
  };
  for (const double h : {0.5, 0.125}) {
    const auto found = hessian_of(quartic, {0.75}, {0}, h);
    CHECK(found->at(0, 0) == doctest::Approx(12 * 0.75 * 0.75 + 4 * h * h).epsilon(1e-12));
  }
}

TEST_CASE("hessian: power iteration agrees with the full matrix of a smooth function") {
  auto rng = generator(77);
  const int n = 12, terms = 20;
  const Doubles w = normals(rng, terms * n);
  // log sum_t exp(w_t . x)
  const Objective f = [&](std::span<const double> x, Doubles* gradient) {
    Doubles e(terms);
    double sum = 0;
    for (int t = 0; t < terms; ++t) {
      double z = 0;
      for (int i = 0; i < n; ++i) z += w[t * n + i] * x[i];
      sum += e[t] = std::exp(z);
    }
    if (gradient) {
      gradient->assign(n, 0.0);
      for (int t = 0; t < terms; ++t)
        for (int i = 0; i < n; ++i) (*gradient)[i] += e[t] / sum * w[t * n + i];
    }
    return std::log(sum);
  };
  const Doubles x = normals(rng, n, 0.2);
  const auto h = hessian_of(f, x, all_of(n), 1e-4);
  const double found = power_iteration(f, x, 1e-4, 3000);
  CHECK(found == doctest::Approx(curvature(*h).eigenvalue).epsilon(1e-5));
}

TEST_CASE("hessian: ends when it is told to") {
  const Quadratic f{Matrix(3), Doubles(3)};
  int calls = 0;
  const auto h = hessian(f, Doubles(3), all_of(3), 0.1, [&](int done) {
    CHECK(done == ++calls);
    return done < 2;
  });
  CHECK(!h);
  CHECK(calls == 2);
}

TEST_CASE("hessian: figures of a matrix with known eigenvalues") {
  auto rng = generator(72);
  for (const int n : {1, 2, 7, 30}) {
    Doubles eigenvalues = normals(rng, n);
    eigenvalues[0] = n % 2 ? -9 : 9;  // the dominant one
    // Q diag(eigenvalues) Q^T with Q a product of random rotations.
    Matrix m(n);
    for (int i = 0; i < n; ++i) m.at(i, i) = eigenvalues[i];
    std::uniform_real_distribution<double> angle(0, 6);
    for (int i = 0; i < n; ++i)
      for (int j = i + 1; j < n; ++j) {
        const double t = angle(rng), c = std::cos(t), s = std::sin(t);
        for (int k = 0; k < n; ++k) {
          const double a = m.at(i, k), b = m.at(j, k);
          m.at(i, k) = c * a - s * b;
          m.at(j, k) = s * a + c * b;
        }
        for (int k = 0; k < n; ++k) {
          const double a = m.at(k, i), b = m.at(k, j);
          m.at(k, i) = c * a - s * b;
          m.at(k, j) = s * a + c * b;
        }
      }
    double squares = 0;
    for (const double e : eigenvalues) squares += e * e;
    const Curvature c = curvature(m);
    const double tolerance = 100 * n * n * epsilon;
    CHECK(c.norm == doctest::Approx(std::sqrt(squares)).epsilon(tolerance));
    CHECK(c.spectral_norm == doctest::Approx(9).epsilon(tolerance));
    CHECK(c.eigenvalue == doctest::Approx(eigenvalues[0]).epsilon(tolerance));
    CHECK(std::abs(c.trace - std::accumulate(eigenvalues.begin(), eigenvalues.end(), 0.0)) <
          9 * tolerance);
    CHECK(std::abs(c.least_eigenvalue - *std::min_element(eigenvalues.begin(), eigenvalues.end())) <
          9 * tolerance);
  }
  Matrix bad(2);
  bad.at(0, 1) = NAN;
  CHECK_THROWS_WITH_AS(curvature(bad), "Hessian: an entry is not finite", Error);
}

TEST_CASE("hessian: with respect to mu it is that of L(softmax(mu))") {
  auto rng = generator(73);
  const Rows rows;
  const int n = rows.size();
  for (int round = 0; round < 3; ++round) {
    const Quadratic f{symmetric(rng, n), normals(rng, n)};
    const Doubles mu = normals(rng, n), theta = rows.softmax(mu);
    Doubles gradient;
    f(theta, &gradient);
    const Matrix found = softmax_hessian(f.a, gradient, theta, rows.rows);
    // Second differences of the value alone: truncation h^2 times fourth derivatives of some tens,
    // rounding 4 epsilon / h^2 times values of some tens.
    const double h = 1e-3;
    const auto at = [&](int i, double di, int j, double dj) {
      Doubles moved = mu;
      moved[i] += di;
      moved[j] += dj;
      return f(rows.softmax(moved), nullptr);
    };
    for (int i = 0; i < n; ++i)
      for (int j = 0; j < n; ++j) {
        const double expected =
            (at(i, h, j, h) - at(i, h, j, -h) - at(i, -h, j, h) + at(i, -h, j, -h)) / (4 * h * h);
        CHECK(std::abs(found.at(i, j) - expected) < 1e-4);
      }
  }
}

TEST_CASE("hessian: both terms of the bound") {
  const Rows rows;
  Matrix h(rows.size());
  Doubles beta;
  for (int i = 0; i < rows.size(); ++i) {
    h.at(i, i) = i + 1;
    h.at(0, i) += 0.5;  // off the diagonal: no part of a trace
    beta.push_back(0.5 + 0.125 * i);
  }
  // Traces of the rows, h(0, 0) included: 15.5, 21, 19, 11; delta = 0.75.
  const LossBound bound = loss_bound(2.5, h, rows.rows, beta);
  CHECK(bound.delta == 0.75);
  const double expected = 0.5 / 1.75 *
                          (15.5 * (3.0 / 5 + 1.0 / 5) + 21 * (1.0 / 3 + 1.0 / 3) +
                           19 * (0 + 1.0 / 2) + 11 * (-1.0 + 1));
  CHECK(bound.trace_term == doctest::Approx(expected).epsilon(1e-14));
  CHECK(bound.value() == doctest::Approx(2.5 + expected).epsilon(1e-14));
  CHECK(loss_bound(1, h, rows.rows, Doubles(11, 0.5)).delta == 0);
}

TEST_CASE("hessian: what --hessian takes") {
  CHECK(parse_hessian("").every == 0);
  const HessianOptions some = parse_hessian("every=5");
  CHECK(some.every == 5);
  CHECK(some.step == 0.05);
  CHECK(some.samples == 32);
  const HessianOptions all = parse_hessian("step=0.1,every=2,samples=7");
  CHECK(all.every == 2);
  CHECK(all.step == 0.1);
  CHECK(all.samples == 7);
  for (const char* bad :
       {"5", "every", "every=0", "every=", "every=x", "every=1,", "every=1,step=0",
        "every=1,step=nan", "every=1,step=2", "step=0.1", "every=1,samples=0", "evry=1"}) {
    CAPTURE(bad);
    try {
      parse_hessian(bad);
      FAIL_CHECK("expected an error");
    } catch (const Error& error) {
      CHECK(std::string(error.what()).find(std::string("--hessian ") + bad) == 0);
      CHECK(std::string(error.what()).find("expected") != std::string::npos);
    }
  }
}
