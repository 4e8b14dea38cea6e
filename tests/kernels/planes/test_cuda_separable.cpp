// SPDX-License-Identifier: MIT
// Separable convolutions: CUDA sources against float64.
#include "tests/cuda/harness.h"
#include "tests/kernels/planes/separable_checks.h"

using namespace drnas;
using namespace drnas::test;
using namespace drnas::test::separable;

namespace {

void check(Rng& rng, const kernels::Separable& s) {
  check_separable(OnDevice::any_layout(rng), rng, SeparableCase(rng, s, rng() % 3 == 0));
}

}  // namespace

TEST_CASE("cuda: separable convolutions, whatever the shape") {
  auto rng = generator(71);
  const auto size = [&] { return pick(rng, {1, 2, 3, 5, 8, 9, 13, 17}); };
  const auto channels = [&] { return pick(rng, {1, 2, 3, 4, 6, 9}); };
  for (int round = 0; round < 24; ++round)
    check(rng, {1 + static_cast<int>(rng() % 3), channels(), size(), size(), channels(),
                1 + round % 2, 1 + static_cast<int>(rng() % 3)});
}

TEST_CASE("cuda: separable convolutions, several tiles and ranges of channels") {
  auto rng = generator(72);
  check(rng, {1, 2, 33, 35, 3, 1, 2});
  check(rng, {1, 2, 33, 66, 2, 2, 1});
  check(rng, {1, 70, 3, 17, 38, 1, 1});
  check(rng, {1, 144, 8, 8, 144, 1, 1});
  check(rng, {1, 6, 8, 8, 6, 1, 16});
  check(rng, {1, 40, 9, 7, 5, 2, 2});
}

TEST_CASE("cuda: separable convolutions, blocks that take several images") {
  auto rng = generator(73);
  check(rng, {70, 2, 2, 3, 2, 1, 16});
}

TEST_CASE("cuda: separable convolutions refuse what they cannot do") {
  kernels::SeparableForward p{};
  p.shape = {1, 1, 4, 4, 1, 3, 1};
  CHECK_THROWS_AS(kernels::separable_forward<Device::cuda>(p, nullptr, nullptr), Error);
  kernels::SeparableBackward b{};
  b.shape = {1, 1, 4, 4, 1, 1, 17};
  CHECK_THROWS_AS(kernels::separable_backward<Device::cuda>(b, nullptr, nullptr), Error);
}
