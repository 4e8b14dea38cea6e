// SPDX-License-Identifier: MIT
// Convolutions of images by kernels of our own, against float64 and as the CPU twins do them.
#include "kernels/layers/direct_conv.h"

#include "tests/cuda/harness.h"
#include "tests/kernels/layers/conv2d_reference.h"

using namespace drnas;
using namespace drnas::test;
using kernels::Conv2d;
using kernels::ConvPass;

namespace {

/// Images that fill tiles of 8 x 32 pixels, that leave parts of them, and more tiles than blocks.
const Conv2d shapes[] = {{2, 32, 32, 3, 16, 3, 1, 1}, {3, 9, 7, 3, 48, 3, 1, 1},
                         {1, 1, 1, 3, 8, 3, 1, 1},    {2, 17, 35, 3, 24, 3, 2, 1},
                         {1, 8, 33, 3, 6, 3, 1, 1},   {2, 5, 70, 3, 13, 3, 2, 1},
                         {1, 16, 64, 3, 64, 3, 2, 1}, {1, 11, 10, 3, 140, 3, 1, 1},
                         {2, 6, 5, 3, 4, 3, 1, 0},    {270, 3, 4, 3, 8, 3, 1, 1}};

}  // namespace

TEST_CASE("cuda: direct convolutions against float64") {
  auto rng = generator(310);
  for (const Conv2d& p : shapes) {
    INFO("n ", p.n, ", ", p.h, " x ", p.w, " -> ", p.c_out, ", stride ", p.stride);
    const Conv2dCase c(rng, p);
    const Conv2dReference expected(c);
    for (const auto pass : {ConvPass::forward, ConvPass::backward_weight}) {
      REQUIRE(kernels::direct_conv_takes(p, pass));
      const Results got = OnDevice{}([&](auto& b) { return c.pass(b, pass); });
      const bool forward = pass == ConvPass::forward;
      // One rounding a product and one an addition.
      CHECK(roundings(forward ? got.at("y") : got.at("dw"), forward ? expected.y : expected.dw) <=
            c.terms(pass) + 1);
    }
  }
}

TEST_CASE("cuda: direct convolutions multiply in float32 where others are asked for TF32") {
  auto rng = generator(311);
  const Conv2dCase c(rng, {2, 9, 12, 3, 16, 3, 1, 1});
  for (const auto pass : {ConvPass::forward, ConvPass::backward_weight}) {
    const auto place = [&](auto& b) { return c.pass(b, pass); };
    const Results plain = OnDeviceOnce{}(place);
    kernels::set_conv_math(kernels::ConvMath::tf32);
    CHECK(same_bits(OnDeviceOnce{}(place), plain));
    kernels::set_conv_math(kernels::ConvMath::fp32);
  }
}

TEST_CASE("cuda: direct convolutions pass what is not finite") {
  auto rng = generator(312);
  Conv2dCase c(rng, {2, 4, 5, 3, 8, 3, 1, 1});
  c.x[0] = NAN;   // a corner, which four pixels of the first image see
  c.dy[8] = NAN;  // of the pixel beside it, channel 0
  const Doubles y = OnDeviceOnce{}([&](auto& b) { return c.pass(b, ConvPass::forward); }).at("y");
  const Doubles dw =
      OnDeviceOnce{}([&](auto& b) { return c.pass(b, ConvPass::backward_weight); }).at("dw");
  const auto count = [](const auto from, const auto to) {
    return std::count_if(from, to, [](double v) { return !std::isfinite(v); });
  };
  CHECK(count(y.begin(), y.end()) == 4 * 8);
  CHECK(count(dw.begin(), dw.begin() + 27) >= 18);
  for (int channel = 1; channel < 8; ++channel)
    CHECK(count(dw.begin() + 27 * channel, dw.begin() + 27 * (channel + 1)) == 4);
}

TEST_CASE("cuda: direct convolutions take images and nothing else, and can be replayed") {
  using kernels::direct_conv_takes;
  const Conv2d stem{64, 32, 32, 3, 16, 3, 1, 1};
  CHECK(direct_conv_takes(stem, ConvPass::forward));
  CHECK(direct_conv_takes(stem, ConvPass::backward_weight));
  CHECK(!direct_conv_takes(stem, ConvPass::backward_data));
  CHECK(direct_conv_takes({64, 224, 224, 3, 24, 3, 2, 1}, ConvPass::forward));
  CHECK(!direct_conv_takes({64, 32, 32, 4, 16, 3, 1, 1}, ConvPass::forward));
  CHECK(!direct_conv_takes({64, 32, 32, 3, 16, 1, 1, 0}, ConvPass::forward));
  CHECK(!direct_conv_takes({64, 32, 32, 3, 16, 3, 3, 1}, ConvPass::forward));
  for (const int c_out : {16, 108, 100000}) {
    Conv2d p = stem;
    p.c_out = c_out;
    const std::size_t bytes = direct_conv_workspace(p, ConvPass::backward_weight);
    CHECK(bytes >= sizeof(float) * p.weight_count());
    if (c_out < 100000) CHECK(bytes <= std::size_t{8} << 20);
  }
  auto rng = generator(313);
  const Conv2dCase c(rng, {3, 8, 8, 3, 16, 3, 1, 1});
  for (const auto pass : {ConvPass::forward, ConvPass::backward_weight})
    check_replay([&](auto& b) { return c.pass(b, pass); });
}
