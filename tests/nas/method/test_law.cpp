// SPDX-License-Identifier: MIT
// Distributions over mixing weights through their common interface.
#include "nas/method/alpha_rule.h"

#include <cmath>

#include "tests/support/option_files.h"
#include "tests/support/reference.h"
#include "tests/support/special_functions.h"

using namespace drnas;
using namespace drnas::test;

namespace {

constexpr int edges = 4, ops = 5, count = edges * ops;
const char* const methods[] = {"drnas", "darts"};

/// A distribution whose alpha are the given values.
std::unique_ptr<Law> make(const std::string& method, const Doubles& alpha, std::uint64_t seed = 5) {
  Alpha start(edges, ops, seed, Device::cpu);
  auto d = method == "drnas" ? make_dirichlet_law(std::move(start), seed)
                             : make_softmax_law(std::move(start));
  std::copy(alpha.begin(), alpha.end(), d->alpha().values.data<double>());
  return d;
}

Doubles values_of(const Tensor& t) {
  return Doubles(t.data<double>(), t.data<double>() + t.elements());
}

Tensor table_of(const Doubles& values) {
  const Tensor t({1, 1, edges, ops}, MemoryTag::optimizer, Device::cpu, DType::f64);
  std::copy(values.begin(), values.end(), t.data<double>());
  return t;
}

double beta_of(double alpha) { return alpha > 0 ? alpha + 1 : std::exp(alpha); }

/// Mean of Dirichlet(elu(alpha) + 1), row by row.
Doubles dirichlet_mean(const Doubles& alpha) {
  Doubles mean(count);
  for (int e = 0; e < edges; ++e) {
    double total = 0;
    for (int i = 0; i < ops; ++i) total += beta_of(alpha[e * ops + i]);
    for (int i = 0; i < ops; ++i) mean[e * ops + i] = beta_of(alpha[e * ops + i]) / total;
  }
  return mean;
}

Doubles softmax(const Doubles& alpha) {
  Doubles out(count);
  for (int e = 0; e < edges; ++e) {
    double total = 0;
    for (int i = 0; i < ops; ++i) total += std::exp(alpha[e * ops + i]);
    for (int i = 0; i < ops; ++i) out[e * ops + i] = std::exp(alpha[e * ops + i]) / total;
  }
  return out;
}

/// Sum over rows of KL(Dir(beta) || Dir(1, ..., 1)).
double anchor_of(const Doubles& alpha) {
  long double kl = 0;
  for (int e = 0; e < edges; ++e) {
    long double total = 0;
    for (int i = 0; i < ops; ++i) total += beta_of(alpha[e * ops + i]);
    kl += std::lgamma(total) - std::lgamma(static_cast<long double>(ops));
    for (int i = 0; i < ops; ++i) {
      const long double beta = beta_of(alpha[e * ops + i]);
      kl += (beta - 1) * (psi_reference(beta) - psi_reference(total)) - std::lgamma(beta);
    }
  }
  return static_cast<double>(kl);
}

}  // namespace

TEST_CASE("laws: samples lie on the simplex; a pass number fixes the draw") {
  auto rng = generator(81);
  const Doubles alpha = normals(rng, count);
  for (const char* method : methods) {
    CAPTURE(method);
    const auto d = make(method, alpha), twin = make(method, alpha), other = make(method, alpha, 6);
    const bool random = d->is_dirichlet();
    const Doubles first = values_of(d->sample(0)), second = values_of(d->sample(1));
    for (const Doubles& theta : {first, second})
      for (int e = 0; e < edges; ++e) {
        double sum = 0;
        for (int i = 0; i < ops; ++i) {
          CHECK(theta[e * ops + i] >= 0);
          sum += theta[e * ops + i];
        }
        CHECK(sum == doctest::Approx(1).epsilon(1e-14));
      }
    CHECK((first != second) == random);
    CHECK(values_of(d->sample(0)) == first);
    CHECK(values_of(twin->sample(0)) == first);
    CHECK((values_of(other->sample(0)) != first) == random);
  }
}

TEST_CASE("laws: mean and concentrations") {
  auto rng = generator(82);
  const Doubles alpha = normals(rng, count, 2);
  for (const char* method : methods) {
    CAPTURE(method);
    const bool random = std::string(method) == "drnas";
    const auto d = make(method, alpha);
    const Doubles expected = random ? dirichlet_mean(alpha) : softmax(alpha);
    const auto mean = d->mean(), concentrations = d->concentrations();
    REQUIRE(mean.size() == edges);
    for (int i = 0; i < count; ++i) {
      CHECK(mean[i / ops][i % ops] == doctest::Approx(expected[i]).epsilon(1e-14));
      CHECK(concentrations[i / ops][i % ops] ==
            doctest::Approx(random ? beta_of(alpha[i]) : expected[i]).epsilon(1e-14));
    }
  }
}

TEST_CASE("laws: softmax gradient by finite differences") {
  auto rng = generator(83);
  const Doubles alpha = normals(rng, count), weight = normals(rng, count);
  const auto d = make("darts", alpha);
  CHECK(max_error(values_of(d->sample(0)), softmax(alpha)) < 1e-14);
  d->alpha().gradient.data<double>()[3] = 100;  // overwritten, not added to
  d->backward(table_of(weight));
  const auto value = [&](const Doubles& a) { return dot(weight, softmax(a)); };
  CHECK(max_error(values_of(d->alpha().gradient), finite_differences(value, alpha)) < 1e-10);
}

TEST_CASE("laws: mean of the Dirichlet gradient is the gradient of the mean") {
  auto rng = generator(84);
  const Doubles alpha = normals(rng, count), weight = normals(rng, count);
  const Tensor dtheta = table_of(weight);
  const auto d = make("drnas", alpha);
  constexpr int draws = 20000;
  Doubles sum(count), squares(count);
  for (int step = 0; step < draws; ++step) {
    d->sample(step);
    d->backward(dtheta);
    const Doubles g = values_of(d->alpha().gradient);
    for (int i = 0; i < count; ++i) {
      sum[i] += g[i] / draws;
      squares[i] += g[i] * g[i] / draws;
    }
  }
  const auto value = [&](const Doubles& a) { return dot(weight, dirichlet_mean(a)); };
  const Doubles expected = finite_differences(value, alpha, 1e-4);
  double most = 0, error = 0;
  for (int i = 0; i < count; ++i) {
    const double deviation = std::sqrt((squares[i] - sum[i] * sum[i]) / draws);
    CHECK(std::abs(sum[i] - expected[i]) < 5.5 * deviation);
    most = std::max(most, std::abs(expected[i]));
    error = std::max(error, deviation);
  }
  CHECK(most > 20 * error);  // or the comparison would say nothing
}

TEST_CASE("laws: an update adds the anchor's gradient, and moves alpha by its sign") {
  auto rng = generator(85);
  Doubles alpha = normals(rng, count, 1.5);
  const Tensor dtheta = table_of(normals(rng, count)),
               norm = Tensor::zeros({1, 1, 1, 1}, MemoryTag::optimizer, Device::cpu, DType::f64);
  // The second derivative of elu jumps at 0: a difference across it is off by its step.
  for (double& a : alpha)
    if (std::abs(a) < 1e-3) a = 1e-3;
  AdamOptions options{.learning_rate = 0.01, .eps = 0, .l2 = 0};
  const Doubles anchor = finite_differences(anchor_of, alpha, 1e-4);
  for (const auto& kind : {std::pair{"drnas", 0.3}, {"drnas", 0.0}, {"darts", 0.0}}) {
    const char* const method = kind.first;
    const double lambda = kind.second;
    CAPTURE(method);
    CAPTURE(lambda);
    const auto d = make(method, alpha), twin = make(method, alpha);
    d->sample(0);
    twin->sample(0);
    twin->backward(dtheta);
    Doubles expected = values_of(twin->alpha().gradient);
    for (int i = 0; i < count; ++i) expected[i] += lambda * anchor[i];
    options.kl = lambda;
    make_adam_rule(*d, options)->update(dtheta, norm);
    const Doubles gradient = values_of(d->alpha().gradient), moved = values_of(d->alpha().values);
    CHECK(max_error(gradient, expected) < 1e-8);
    CHECK(norm.data<double>()[0] == doctest::Approx(dot(gradient, gradient)).epsilon(1e-14));
    // Adam's first step has the learning rate's length everywhere.
    for (int i = 0; i < count; ++i)
      CHECK(moved[i] - alpha[i] == doctest::Approx(gradient[i] > 0 ? -0.01 : 0.01).epsilon(1e-9));
  }
  options.kl = 0.3;
  test_files::check_fails([&] { make_adam_rule(*make("darts", alpha), options); },
                          {"--regulariser kl", "l2 or none"});
}

TEST_CASE("laws: rankings are the mean and the softmax over what is kept") {
  auto rng = generator(86);
  const Doubles alpha = normals(rng, count, 1.0);
  const auto flat = [](const std::vector<std::vector<double>>& rows) {
    Doubles values;
    for (const auto& row : rows) values.insert(values.end(), row.begin(), row.end());
    return values;
  };
  const auto dirichlet = make("drnas", alpha), logits = make("darts", alpha);
  CHECK(max_error(flat(dirichlet->ranked_by(Ranking::mean)), dirichlet_mean(alpha)) < 1e-14);
  for (const auto* d : {dirichlet.get(), logits.get()})
    CHECK(max_error(flat(d->ranked_by(Ranking::softmax)), softmax(alpha)) < 1e-14);
  CHECK(flat(logits->ranked_by(Ranking::mean)) == flat(logits->ranked_by(Ranking::softmax)));
  // Two operations an edge stay, which share all of the weight.
  std::vector<std::uint8_t> kept(count, 0);
  for (int e = 0; e < edges; ++e) kept[e * ops + e] = kept[e * ops + (e + 2) % ops] = 1;
  dirichlet->alpha().prune(kept);
  for (const Ranking ranking : {Ranking::mean, Ranking::softmax}) {
    const auto rows = dirichlet->ranked_by(ranking);
    for (int e = 0; e < edges; ++e) {
      const int a = e, b = (e + 2) % ops;
      const auto weight = [&](int op) {
        const double value = alpha[e * ops + op];
        return ranking == Ranking::mean ? beta_of(value) : std::exp(value);
      };
      CHECK(rows[e][a] == doctest::Approx(weight(a) / (weight(a) + weight(b))).epsilon(1e-13));
      CHECK(rows[e][a] + rows[e][b] == doctest::Approx(1).epsilon(1e-14));
    }
  }
}

TEST_CASE("laws: alpha starts near zero, by its seed") {
  const auto start = [](std::uint64_t seed) {
    return values_of(Alpha(edges, ops, seed, Device::cpu).values);
  };
  CHECK(start(1) == start(1));
  CHECK(start(1) != start(2));
  double squares = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed)
    for (double a : start(seed)) squares += a * a;
  // 1e-3 N(0, 1): 2000 squares, relative deviation sqrt(2/2000).
  CHECK(squares / (100 * count) == doctest::Approx(1e-6).epsilon(5 * std::sqrt(2.0 / 2000)));
}
