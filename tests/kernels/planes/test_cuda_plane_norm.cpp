// SPDX-License-Identifier: MIT
// Batch normalisation on planes: CUDA sources against float64.
#include "tests/cuda/harness.h"
#include "tests/kernels/planes/plane_norm_reference.h"

using namespace drnas;
using namespace drnas::test;

namespace {

PlaneShape random_shape(Rng& rng, std::int64_t pixels) {
  return {pick(rng, {1, 2, 3}), pick(rng, {1, 2, 9}), pixels};
}

}  // namespace

TEST_CASE("cuda: plane moments of means far from zero") {
  auto rng = generator(561);
  for (const std::int64_t pixels : plane_sizes)
    for (const double offset : {0.0, 1000.0})
      check_moments(OnDevice::any_layout(rng), rng,
                    {pick(rng, {1, 2, 5}), pick(rng, {1, 3, 7}), pixels}, offset);
  check_moments(OnDevice{}, rng, {17, 16, 4096}, 3.0);  // several vectors a thread
  check_moments(OnDevice{}, rng, {3, 90, 1003}, 3.0);
  check_moments(OnDevice{}, rng, {70, 1, 1001}, 3.0);  // more tiles than blocks
}

TEST_CASE("cuda: plane moments in evaluation") {
  auto rng = generator(562);
  check_evaluation(OnDevice{}, rng);
}

TEST_CASE("cuda: plane norm apply against float64") {
  auto rng = generator(563);
  for (const std::int64_t pixels : plane_sizes)
    for (int form = 0; form < 8; ++form)
      check_apply(OnDevice::any_layout(rng),
                  PlaneNormCase(rng, random_shape(rng, pixels), form & 1), form & 2);
}

TEST_CASE("cuda: plane norm backward against float64") {
  auto rng = generator(564);
  for (const std::int64_t pixels : plane_sizes)
    for (int form = 0; form < 4; ++form)
      check_backward(OnDevice::any_layout(rng),
                     PlaneNormCase(rng, random_shape(rng, pixels), form & 1), form & 2);
  check_backward(OnDevice{}, PlaneNormCase(rng, {17, 16, 4096}, true), false);
  check_backward(OnDevice{}, PlaneNormCase(rng, {3, 90, 1003}, true), true);
  check_backward(OnDevice{}, PlaneNormCase(rng, {70, 1, 1001}, false), true);
}

TEST_CASE("cuda: plane norm without statistics") {
  auto rng = generator(567);
  check_without_statistics(OnDevice::any_layout(rng), rng);
}

TEST_CASE("cuda: plane norm without variance") {
  auto rng = generator(566);
  check_without_variance(OnDevice::any_layout(rng), rng);
}

TEST_CASE("cuda: plane gradients written out") {
  auto rng = generator(565);
  for (const std::int64_t pixels : plane_sizes)
    for (const int step : {1, 2, 6})
      for (const bool normalised : {false, true})
        check_written_out(
            OnDevice::any_layout(rng),
            PlaneGradientCase(rng, {pick(rng, {1, 2}), pick(rng, {1, 2, 3, 9}), pixels}, step,
                              normalised));
}
