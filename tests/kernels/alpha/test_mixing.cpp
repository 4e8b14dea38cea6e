// SPDX-License-Identifier: MIT
// Laws of mixing weights: moments of their draws, and derivatives against central differences.
#include <cmath>
#include <limits>

#include "tests/cases/mixing.h"
#include "tests/support/calls.h"
#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;

namespace {

Doubles softmax(const Doubles& row) {
  double sum = 0;
  Doubles out;
  for (const double a : row) out.push_back(std::exp(a)), sum += out.back();
  for (double& p : out) p /= sum;
  return out;
}

Results drawn(const MixingCase& c) {
  return OnCpu{}([&](auto& b) { return c.draw(b); });
}

/// g . what `call` leaves under `name`, as a function of alpha.
Doubles differences(const MixingCase& c, const std::string& name) {
  return finite_differences(
      [&](const Doubles& alpha) {
        MixingCase moved = c;
        moved.alpha = alpha;
        return dot(drawn(moved).at(name), c.g);
      },
      c.alpha, 1e-5);
}

}  // namespace

TEST_CASE("gumbel_draw: samples follow softmax(alpha), at any temperature") {
  constexpr int draws = 20000;
  auto rng = generator(301);
  for (const double temperature : {0.1, 1.0, 10.0}) {
    MixingCase c(rng, 1, 4, false);
    c.samples = 1;
    c.temperature = temperature;
    Doubles share(4);
    for (c.step = 0; c.step < draws; ++c.step) {
      const Doubles theta = drawn(c).at("theta");
      double sum = 0;
      for (int o = 0; o < 4; ++o) {
        CHECK((theta[o] == 0 || theta[o] == 1));
        sum += theta[o];
        share[o] += theta[o] / draws;
      }
      CHECK(sum == 1);
    }
    const Doubles p = softmax(c.alpha);
    for (int o = 0; o < 4; ++o)
      CHECK(std::abs(share[o] - p[o]) < 5 * std::sqrt(p[o] * (1 - p[o]) / draws));
  }
}

TEST_CASE("gumbel_draw: a soft draw of a high temperature is even, of a low one a sample") {
  auto rng = generator(302);
  MixingCase c(rng, 6, 5, false);
  c.temperature = 1e6;
  const Doubles even = drawn(c).at("theta");
  for (const double t : even) CHECK(t == doctest::Approx(0.2).epsilon(1e-4));
  c.temperature = 1e-4;
  const Doubles soft = drawn(c).at("theta");
  c.samples = 1;
  const Doubles sample = drawn(c).at("theta");
  int near = 0;
  for (std::size_t i = 0; i < soft.size(); ++i) near += std::abs(soft[i] - sample[i]) < 1e-6;
  CHECK(near >= 28);  // but for two entries that are almost equal
}

TEST_CASE("gumbel_draw: pruned operations have no weight, and draws differ by step and seed") {
  auto rng = generator(303);
  for (const int samples : {0, 1}) {
    MixingCase c(rng, 28, 8, true);
    c.samples = samples;
    const Doubles theta = drawn(c).at("theta");
    for (int e = 0; e < c.edges; ++e) {
      double sum = 0;
      for (int o = 0; o < c.ops; ++o) {
        const int i = e * c.ops + o;
        if (!c.mask[i]) CHECK(theta[i] == 0);
        sum += theta[i];
      }
      CHECK(sum == doctest::Approx(1));
    }
    MixingCase later = c, other = c;
    ++later.step;
    ++other.seed;
    CHECK(drawn(later).at("theta") != theta);
    CHECK(drawn(other).at("theta") != theta);
    CHECK(drawn(c).at("theta") == theta);
  }
}

TEST_CASE("gumbel_backward: the derivative of the soft draw") {
  auto rng = generator(304);
  for (const bool masked : {false, true}) {
    const MixingCase c(rng, 6, 5, masked);
    const Doubles soft = drawn(c).at("soft");
    const Doubles dalpha = OnCpu{}([&](auto& b) { return c.soft_backward(b, soft); }).at("dalpha");
    CHECK(max_error(dalpha, differences(c, "soft")) < 1e-8);
  }
}

TEST_CASE("score_backward: credit of the chosen times the derivative of its log probability") {
  auto rng = generator(305);
  MixingCase c(rng, 6, 5, false);
  c.samples = 1;
  const Doubles theta = drawn(c).at("theta");
  const Doubles dalpha = OnCpu{}([&](auto& b) { return c.score(b, theta); }).at("dalpha");
  const Doubles expected = finite_differences(
      [&](const Doubles& alpha) {
        double sum = 0;
        for (int e = 0; e < c.edges; ++e) {
          const Doubles p = softmax({alpha.begin() + e * c.ops, alpha.begin() + (e + 1) * c.ops});
          for (int o = 0; o < c.ops; ++o)
            if (theta[e * c.ops + o] != 0) sum += c.g[e * c.ops + o] * std::log(p[o]);
        }
        return sum;
      },
      c.alpha, 1e-5);
  CHECK(max_error(dalpha, expected) < 1e-8);
}

TEST_CASE("gumbel_draw: of two operations one passes, by their shares") {
  constexpr int draws = 20000;
  auto rng = generator(310);
  MixingCase c(rng, 1, 4, false);
  c.samples = 2;
  const Doubles p = softmax(c.alpha);
  Doubles passed(16), expected(16);
  for (c.step = 0; c.step < draws; ++c.step) {
    const Doubles theta = drawn(c).at("theta");
    int active = -1, other = -1;
    for (int o = 0; o < 4; ++o) {
      if (theta[o] == 1) active = o;
      if (theta[o] == kernels::faint_weight) other = o;
    }
    REQUIRE((active >= 0 && other >= 0));
    CHECK(static_cast<float>(theta[other]) == 0.0f);
    passed[4 * active + other] += 1.0 / draws;
  }
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j) {
      if (i == j) continue;
      const double both = p[i] * p[j] / (1 - p[i]) + p[j] * p[i] / (1 - p[j]);
      const double share = both * p[i] / (p[i] + p[j]);
      CHECK(std::abs(passed[4 * i + j] - share) < 5 * std::sqrt(share * (1 - share) / draws));
    }
}

TEST_CASE("pair_backward: the softmax of two; keep_mass leaves all other probabilities") {
  auto rng = generator(312);
  MixingCase c(rng, 6, 5, false);
  c.samples = 2;
  const Doubles theta = drawn(c).at("theta");
  const Results r = OnCpu{}([&](auto& b) { return c.pair(b, theta); });
  const Doubles expected = finite_differences(
      [&](const Doubles& alpha) {
        double sum = 0;
        for (int e = 0; e < 6; ++e) {
          double total = 0, weighted = 0;
          for (int i = 5 * e; i < 5 * e + 5; ++i) {
            if (theta[i] == 0) continue;
            total += std::exp(alpha[i]);
            weighted += std::exp(alpha[i]) * c.g[i];
          }
          sum += weighted / total;
        }
        return sum;
      },
      c.alpha, 1e-5);
  CHECK(max_error(r.at("dalpha"), expected) < 1e-8);
  for (int e = 0; e < 6; ++e) {
    double before = 0, after = 0;
    for (int i = 5 * e; i < 5 * e + 5; ++i) {
      if (theta[i] == 0) CHECK(r.at("alpha")[i] == c.g[i]);
      if (theta[i] != 0) before += std::exp(c.alpha[i]), after += std::exp(r.at("alpha")[i]);
    }
    CHECK(after == doctest::Approx(before));
  }
}

TEST_CASE("weigh_edges: values, and derivatives through both softmaxes") {
  auto rng = generator(306);
  for (const int edges : {1, 6, 28}) {
    const MixingCase c(rng, edges, 5, false);
    const auto run = [](const MixingCase& of) {
      return OnCpu{}([&](auto& b) { return of.edge_weights(b); });
    };
    const Results r = run(c);
    for (int e = 0; e < edges; ++e) {
      double sum = 0;
      for (int o = 0; o < 5; ++o) sum += r.at("theta")[e * 6 + o];
      CHECK(sum == doctest::Approx(r.at("theta")[e * 6 + 5]));
    }
    const Doubles expected = finite_differences(
        [&](const Doubles& alpha) {
          MixingCase moved = c;
          moved.wide = alpha;
          return dot(run(moved).at("theta"), c.wide_g);
        },
        c.wide, 1e-5);
    CHECK(max_error(r.at("dalpha"), expected) < 1e-8);
  }
}

TEST_CASE("exponentiated_step: the published update, and its floor") {
  auto rng = generator(307);
  MixingCase c(rng, 6, 5, false);
  const Doubles start = OnCpu{}([&](auto& b) { return c.edge_weights(b); }).at("p");
  for (const double floor : {1e-5, 0.1}) {
    const Results r = OnCpu{}([&](auto& b) { return c.exponentiated(b, start, 0.1, floor); });
    for (std::size_t s = 0; s < c.sets.size(); s += 3) {
      double sum = 0;
      Doubles expected;
      for (int k = 0; k < c.sets[s + 1]; ++k) {
        const int i = c.sets[s] + k * c.sets[s + 2];
        expected.push_back(std::max(floor, start[i] * std::exp(-0.1 * c.wide_g[i])));
        sum += expected.back();
      }
      for (int k = 0; k < c.sets[s + 1]; ++k)
        CHECK(r.at("weights")[c.sets[s] + k * c.sets[s + 2]] ==
              doctest::Approx(expected[k] / sum).epsilon(1e-12));
    }
    CHECK(r.at("norm")[0] == doctest::Approx(dot(c.wide_g, c.wide_g)));
  }
  c.wide_g[3] = std::numeric_limits<double>::quiet_NaN();
  CHECK(OnCpu{}([&](auto& b) { return c.exponentiated(b, start, 0.1, 1e-5); }).at("weights") ==
        start);
}

TEST_CASE("perturb_rows: within the radius, on the simplex; ascent goes to its edge") {
  auto rng = generator(308);
  MixingCase c(rng, 6, 5, false);
  Doubles p;
  for (int e = 0; e < 6; ++e) {
    const Doubles row = softmax({c.alpha.begin() + e * 5, c.alpha.begin() + (e + 1) * 5});
    p.insert(p.end(), row.begin(), row.end());
  }
  for (const double share : {0.0, 2.0 / 7, 5.0}) {
    const Results r = OnCpu{}([&](auto& b) { return c.perturb(b, p, share); });
    const Doubles& delta = r.at("noise");
    for (int e = 0; e < 6; ++e) {
      double sum = 0, clipped = 0;
      for (int i = e * 5; i < e * 5 + 5; ++i) {
        CHECK(std::abs(delta[i]) <= c.radius);
        if (share == 5.0) CHECK(delta[i] == (c.g[i] > 0 ? c.radius : -c.radius));
        sum += r.at("theta")[i];
        clipped += std::min(1.0, std::max(0.0, p[i] + delta[i]));
      }
      CHECK(sum == doctest::Approx(1));
      for (int i = e * 5; i < e * 5 + 5; ++i)
        CHECK(r.at("theta")[i] ==
              doctest::Approx(std::min(1.0, std::max(0.0, p[i] + delta[i])) / clipped));
      for (int i = e * 5; i < e * 5 + 5; ++i)
        CHECK(r.at("delta")[i] == doctest::Approx(r.at("theta")[i] - p[i]));
    }
  }
  // Noise is uniform: its mean square is a third of the radius'.
  double squares = 0;
  constexpr int draws = 2000;
  for (c.step = 0; c.step < draws; ++c.step) {
    const Doubles delta = OnCpu{}([&](auto& b) { return c.perturb(b, p, 0); }).at("noise");
    squares += dot(delta, delta) / (30.0 * draws);
  }
  CHECK(squares == doctest::Approx(c.radius * c.radius / 3).epsilon(0.02));
}

TEST_CASE("perturb_rows: of a row that is clipped to zero the largest entry is one") {
  const Doubles p(5, 0.2);
  Doubles delta{-0.25, -0.3, -0.21, -0.28, -0.3}, theta(5);
  kernels::perturb_rows<Device::cpu>(1, 5, p.data(), delta.data(), theta.data(), {});
  CHECK(theta == Doubles{0, 0, 1, 0, 0});
  CHECK(delta == Doubles{-0.2, -0.2, 0.8, -0.2, -0.2});
}

TEST_CASE("gumbel_draw: extents that are no table's are refused") {
  auto rng = generator(309);
  CHECK_THROWS_WITH_AS(OnCpu{}([&](auto& b) { return MixingCase(rng, 2, 17, false).draw(b); }),
                       "gumbel_draw: 2 rows of 17 operations, expected 1 to 16", Error);
}
