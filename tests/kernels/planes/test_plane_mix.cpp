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

TEST_CASE("plane mix: the share of identities and bypasses in a state's gradient") {
  auto rng = generator(515);
  check_source_gradients<OnCpu>(rng);
}
