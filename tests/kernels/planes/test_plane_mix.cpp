// SPDX-License-Identifier: MIT
#include "tests/kernels/planes/plane_mix_reference.h"

using namespace drnas;
using namespace drnas::test;
using kernels::PlaneMix;

TEST_CASE("plane mix: forward and backward against float64") {
  auto rng = generator(511);
  for (const int parts : {1, 2, 3, 4, 6})
    for (const std::int64_t pixels : {1, 2, 5, 9, 16, 49, 63, 64, 100}) {
      const PlaneShape s{pick(rng, {1, 2, 3}), pick(rng, {1, 2, 3, 6, 9, 24}), pixels};
      check_mix(OnCpu::any_layout(rng), PlaneMixCase(rng, s, parts, static_cast<int>(rng() % 8),
                                                     static_cast<int>(rng() % 4)));
    }
}

TEST_CASE("plane mix: many terms, many channels, large planes, nothing to mix") {
  auto rng = generator(512);
  const OnCpu run = OnCpu::any_layout(rng);
  check_mix(run, PlaneMixCase(rng, {2, 3, 20}, 2, PlaneMix::max_terms, PlaneMix::max_sources));
  check_mix(run, PlaneMixCase(rng, {1, 144, 4}, 1, 5, 2));
  check_mix(run, PlaneMixCase(rng, {1, 36, 9}, 4, 6, 2));
  check_mix(run, PlaneMixCase(rng, {2, 2, 1024 + 37}, 2, 7, 2));
  check_mix(run, PlaneMixCase(rng, {5, 3, 1}, 1, 9, 1));
  check_mix(run, PlaneMixCase(rng, {2, 3, 12}, 2, 0, 0));
  check_mix(run, PlaneMixCase(rng, {2, 3, 12}, 3, 0, 2));
}

TEST_CASE("plane mix: terms that share a mixing weight") {
  auto rng = generator(513);
  check_shared_weights<OnCpu>(rng);
}

TEST_CASE("plane mix: the same bits whatever the number of threads") {
  auto rng = generator(514);
  const PlaneMixCase c(rng, {5, 6, 81}, 2, 5, 2);
  const auto with = [&](int count) {
    const Threads threads(count);
    const OnCpu run = OnCpu::any_layout(rng);
    return std::pair(run([&](auto& b) { return c.forward(b); }),
                     run([&](auto& b) { return c.backward(b); }));
  };
  const auto one = with(1);
  CHECK(with(2) == one);
  CHECK(with(7) == one);
}

TEST_CASE("plane mix: identities that are dropped, against float64") {
  auto rng = generator(516);
  check_dropped_mixes<OnCpu>(rng, {1, 2, 5, 9, 16, 49, 63, 64, 100, 1024 + 37, 3 * 1024 + 64});
  check_source_gradients<OnCpu>(rng, {0.4f, 3, rng()});
}

TEST_CASE("plane mix: of identities a share of p is zero, and the mean stays") {
  auto rng = generator(517);
  for (const float p : {0.1f, 0.4f, 0.7f}) {
    PlaneMixCase c(rng, {4, 8, 400}, 1, 0, 1);
    c.sources[0] = {Doubles(c.s.count(), 1.0), {}, 0};
    c.theta[0] = 1;
    c.dropout = {p, 1, 9};
    const Doubles y = OnCpu{}([&](auto& b) { return c.forward(b); }).at("y");
    double zeros = 0, neighbours = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      CHECK((y[i] == 0 || y[i] == double{1.0f / (1.0f - p)}));
      zeros += y[i] == 0;
      neighbours += y[i] == 0 && y[i ^ 1] == 0;
    }
    const double count = static_cast<double>(y.size());
    CHECK(std::abs(zeros / count - p) < 4 * std::sqrt(p * (1 - p) / count));
    // Pairs are counted twice.
    CHECK(std::abs(neighbours / count - p * p) < 4 * std::sqrt(2 * p * p * (1 - p * p) / count));
    // Another draw, another identity and another seed drop others.
    const auto with = [&](std::uint32_t step, std::uint64_t seed) {
      PlaneMixCase other = c;
      other.dropout = {p, step, seed};
      return OnCpu{}([&](auto& b) { return other.forward(b); }).at("y");
    };
    CHECK(with(1, 9) == y);
    CHECK(with(2, 9) != y);
    CHECK(with(1, 10) != y);
  }
}

TEST_CASE("plane mix: dropped identities have the same bits whatever the number of threads") {
  auto rng = generator(518);
  PlaneMixCase c(rng, {5, 6, 81}, 2, 5, 3);
  c.dropout = {0.4f, 11, 3};
  const auto with = [&](int count) {
    const Threads threads(count);
    const OnCpu run;
    return std::pair(run([&](auto& b) { return c.forward(b); }),
                     run([&](auto& b) { return c.backward(b); }));
  };
  CHECK(with(3) == with(1));
}

TEST_CASE("plane mix: the share of identities and bypasses in a state's gradient") {
  auto rng = generator(515);
  check_source_gradients<OnCpu>(rng);
}
