// SPDX-License-Identifier: MIT
// Node mixes on planes: CUDA sources against float64 and the CPU twins.
#include "tests/cuda/harness.h"
#include "tests/kernels/planes/plane_mix_reference.h"

using namespace drnas;
using namespace drnas::test;
using kernels::PlaneMix;

TEST_CASE("cuda: plane mix against float64") {
  auto rng = generator(551);
  for (const int parts : {1, 2, 3, 4, 6})
    for (const std::int64_t pixels : {1, 2, 9, 16, 49, 64, 90}) {
      const PlaneShape s{pick(rng, {1, 2, 3}), pick(rng, {1, 2, 3, 6, 9}), pixels};
      check_mix(OnDevice::any_layout(rng), PlaneMixCase(rng, s, parts, static_cast<int>(rng() % 6),
                                                        static_cast<int>(rng() % 4)));
    }
}

TEST_CASE("cuda: plane mix of many terms, many channels, large planes, nothing to mix") {
  auto rng = generator(552);
  const OnDevice run;
  check_mix(run, PlaneMixCase(rng, {2, 3, 20}, 2, PlaneMix::max_terms, PlaneMix::max_sources));
  check_mix(run, PlaneMixCase(rng, {3, 40, 2}, 1, PlaneMix::max_terms, 1));
  check_mix(run, PlaneMixCase(rng, {1, 144, 4}, 1, 5, 2));
  check_mix(run, PlaneMixCase(rng, {2, 2, 1024 + 36}, 2, 3, 2));
  check_mix(run, PlaneMixCase(rng, {5, 3, 1}, 1, 9, 1));
  check_mix(run, PlaneMixCase(rng, {2, 3, 12}, 2, 0, 0));
  check_mix(run, PlaneMixCase(rng, {2, 3, 12}, 3, 0, 2));
}

TEST_CASE("cuda: plane mix with several vectors a thread, and with more tiles than blocks") {
  auto rng = generator(553);
  check_mix(OnDevice{}, PlaneMixCase(rng, {17, 16, 4096}, 1, 1, 1));
  check_mix(OnDevice{}, PlaneMixCase(rng, {3, 90, 1003}, 1, 2, 0));
  check_mix(OnDevice{}, PlaneMixCase(rng, {70, 1, 1001}, 1, 2, 1));
}

TEST_CASE("cuda: plane mix, terms and sources that share a mixing weight") {
  auto rng = generator(554);
  check_shared_weights<OnDevice>(rng);
}

TEST_CASE("cuda: plane mix, identities that are dropped, against float64 and the CPU twin") {
  auto rng = generator(556);
  check_dropped_mixes<OnDevice>(rng, {1, 2, 6, 9, 16, 49, 64, 90, 1024 + 36});
  check_source_gradients<OnDevice>(rng, {0.7f, 3, rng()});
  PlaneMixCase c(rng, {17, 16, 4096}, 1, 1, 2);
  c.dropout = {0.4f, 5, 6};
  check_mix(OnDevice{}, c);
}

TEST_CASE("cuda: the share of identities and bypasses in a state's gradient") {
  auto rng = generator(555);
  check_source_gradients<OnDevice>(rng);
}
