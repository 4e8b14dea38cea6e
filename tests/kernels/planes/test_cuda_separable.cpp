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

// Of every kernel: tiles that are whole or not, rows in vectors of four or not, several tiles
// beside and below each other, several channels for a warp.
TEST_CASE("cuda: separable convolutions, every kernel") {
  auto rng = generator(74);
  const int sides[][2] = {{8, 8}, {16, 16}, {10, 40}, {5, 72}, {37, 8}, {9, 11}, {18, 13}, {6, 35}};
  for (const int stride : {1, 2})
    for (const int kernel : {3, 5, 7})
      for (const int dilation : {1, 2})
        for (const auto& side : sides) {
          const int c = pick(rng, {1, 2, 5});
          SeparableCase k(rng, {2, c, side[0], side[1], 3, stride, 2}, rng() % 2);
          for (int f = 0; f < 2; ++f) {
            k.set_kernel(rng, f, kernel);
            k.filter[f].dilation = dilation;
          }
          check_separable(OnDevice{}, rng, k);
        }
}

TEST_CASE("cuda: separable convolutions let a NaN through") {
  auto rng = generator(75);
  for (const int stride : {1, 2}) {
    check_nan(OnDevice::any_layout(rng), rng, {2, 3, 8, 8, 4, stride, 5});
    check_nan(OnDevice::any_layout(rng), rng, {2, 2, 13, 21, 3, stride, 5});
    check_nan(OnDevice::any_layout(rng), rng, {1, 1, 5, 40, 1, stride, 5});
  }
}

TEST_CASE("cuda: separable convolutions, several tiles and ranges of channels") {
  auto rng = generator(72);
  check(rng, {2, 20, 16, 16, 20, 1, 1});
  check(rng, {2, 21, 16, 24, 36, 1, 1});
  check(rng, {1, 36, 8, 16, 37, 2, 1});
  check(rng, {1, 24, 8, 8, 24, 1, 2});
  check(rng, {1, 2, 33, 35, 3, 1, 2});
  check(rng, {1, 2, 33, 66, 2, 2, 1});
  check(rng, {1, 70, 3, 17, 38, 1, 1});
  check(rng, {1, 144, 8, 8, 144, 1, 1});
  check(rng, {1, 6, 8, 8, 6, 1, 16});
  check(rng, {1, 40, 9, 7, 5, 2, 2});
}

TEST_CASE("cuda: separable convolutions, blocks that take several images") {
  auto rng = generator(73);
  check(rng, {140, 2, 2, 3, 2, 1, 16});
}

TEST_CASE("cuda: separable convolutions refuse what they cannot do") {
  kernels::SeparableForward p{};
  p.shape = {1, 1, 4, 4, 1, 3, 1};
  CHECK_THROWS_AS(kernels::separable_forward<Device::cuda>(p, nullptr, nullptr), Error);
  kernels::SeparableBackward b{};
  b.shape = {1, 1, 4, 4, 1, 1, 17};
  CHECK_THROWS_AS(kernels::separable_backward<Device::cuda>(b, nullptr, nullptr), Error);
}
