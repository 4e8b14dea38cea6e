// SPDX-License-Identifier: MIT
#include "tests/kernels/planes/plane_norm_reference.h"

using namespace drnas;
using namespace drnas::test;

namespace {

PlaneShape random_shape(Rng& rng, std::int64_t pixels) {
  return {pick(rng, {1, 2, 3}), pick(rng, {1, 2, 9}), pixels};
}

}  // namespace

TEST_CASE("plane norm: statistics of means far from zero, whatever the number of threads") {
  auto rng = generator(531);
  for (const std::int64_t pixels : plane_sizes)
    for (const double offset : {0.0, 3.0, 1000.0}) {
      const PlaneShape s{pick(rng, {1, 2, 5}), pick(rng, {1, 3, 7}), pixels};
      for (const int count : {1, 2, 5}) {
        const Threads threads(count);
        check_moments(OnCpu::any_layout(rng), rng, s, offset);
      }
    }
}

TEST_CASE("plane norm: evaluation takes the running statistics and leaves them alone") {
  auto rng = generator(532);
  check_evaluation(OnCpu::any_layout(rng), rng);
}

TEST_CASE("plane norm: apply against float64") {
  auto rng = generator(533);
  for (const std::int64_t pixels : plane_sizes)
    for (int form = 0; form < 8; ++form)
      check_apply(OnCpu::any_layout(rng), PlaneNormCase(rng, random_shape(rng, pixels), form & 1),
                  form & 2);
}

TEST_CASE("plane norm: backward against float64") {
  auto rng = generator(534);
  for (const std::int64_t pixels : plane_sizes)
    for (int form = 0; form < 8; ++form)
      check_backward(OnCpu::any_layout(rng),
                     PlaneNormCase(rng, random_shape(rng, pixels), form & 1), form & 2);
}

TEST_CASE("plane norm: without statistics") {
  auto rng = generator(538);
  check_without_statistics(OnCpu::any_layout(rng), rng);
}

TEST_CASE("plane norm: without variance") {
  auto rng = generator(537);
  check_without_variance(OnCpu::any_layout(rng), rng);
}

TEST_CASE("plane norm: backward has the same bits for all thread counts") {
  auto rng = generator(535);
  const PlaneNormCase c(rng, {3, 5, 49}, true);
  const auto backward = [&] {
    return OnCpu::any_layout(rng)([&](auto& b) { return c.backward(b, false); });
  };
  const Results all = backward();
  for (const int count : {1, 2, 7}) {
    const Threads threads(count);
    CHECK(backward() == all);
  }
}

TEST_CASE("plane norm: gradients written out") {
  auto rng = generator(536);
  for (const std::int64_t pixels : plane_sizes)
    for (const int step : {1, 2, 4, 6})
      for (const bool normalised : {false, true})
        check_written_out(
            OnCpu::any_layout(rng),
            PlaneGradientCase(rng, {pick(rng, {1, 2}), pick(rng, {1, 2, 3, 9}), pixels}, step,
                              normalised));
}
