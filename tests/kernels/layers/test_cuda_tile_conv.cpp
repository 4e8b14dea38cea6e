// SPDX-License-Identifier: MIT
// Convolutions by tiles of our own: all passes, in three kinds of numbers, against float64.
#include "kernels/core/shared_bytes.h"
#include "kernels/layers/conv_windows.h"
#include "kernels/layers/weight_tiling.h"
#include "tests/cuda/harness.h"
#include "tests/cuda/number_kinds.h"
#include "tests/kernels/layers/conv2d_reference.h"

using namespace drnas;
using namespace drnas::test;
using kernels::Conv2d;

namespace {

void check_conv(const Conv2dCase& given) {
  each_number_kind([&](const NumberKind& kind) {
    Conv2dCase c = given;
    for (Doubles* values : {&c.x, &c.w, &c.dy}) kind.round(*values);
    const Conv2dReference expected(c);
    const std::pair<const char*, const Bounded*> results[] = {
        {"y", &expected.y}, {"dx", &expected.dx}, {"dw", &expected.dw}};
    for (const auto pass : c.passes) {
      CAPTURE(static_cast<int>(pass));
      const Results got = OnDevice{}([&](auto& b) {
        return kind.narrow ? given.pass_bfloat16(b, pass) : given.pass(b, pass);
      });
      const auto& [name, of] = results[static_cast<int>(pass)];
      // A card may cut what it adds below a float's last bit.
      const bool rounds = kind.narrow && pass != Conv2dCase::Pass::backward_weight;
      CHECK(roundings(got.at(name), *of) <=
            2 * (c.terms(pass) + 4) + (rounds ? bfloat16_rounding * 0x1p24 : 0));
    }
  });
}

void check_conv(Rng& rng, const Conv2d& p) {
  INFO("n ", p.n, ", ", p.h, " x ", p.w, ", channels ", p.c_in, " -> ", p.c_out, ", kernel ",
       p.kernel, ", stride ", p.stride, ", padding ", p.padding);
  check_conv(Conv2dCase(rng, p));
}

kernels::WeightShape weights_of(const Conv2d& p) {
  return {p.n, p.out_h(), p.out_w(), p.c_in, p.stride, p.padding, 1, {p.kernel}, {p.c_out}};
}

}  // namespace

TEST_CASE("cuda: convolutions by tiles, in fp32, tf32 and bf16") {
  auto rng = generator(310);
  const Conv2d shapes[] = {{2, 8, 8, 16, 32, 3, 2, 1}, {1, 9, 7, 5, 7, 3, 1, 1},
                           {2, 6, 6, 8, 16, 1, 1, 0},  {1, 8, 9, 12, 6, 1, 2, 0},
                           {1, 7, 7, 9, 20, 2, 1, 0},  {1, 11, 10, 6, 3, 5, 2, 2},
                           {1, 5, 40, 4, 8, 3, 3, 1},  {1, 4, 4, 70, 50, 3, 1, 1},
                           {3, 3, 3, 2, 1, 3, 1, 0},   {1, 6, 5, 1, 2, 4, 3, 2}};
  for (const Conv2d& p : shapes) check_conv(rng, p);
}

TEST_CASE("cuda: convolutions by tiles, depth in several passes, pixels in many shares") {
  auto rng = generator(312);
  const Conv2d deep{1, 3, 4, 420, 5, 3, 1, 1}, wide{1, 3, 4, 5, 420, 3, 1, 1};
  for (const int chunk : {8, 4}) {
    REQUIRE(kernels::WindowTiling(kernels::ConvWindows::forward(deep), chunk).passes > 1);
    REQUIRE(kernels::WindowTiling(kernels::ConvWindows::backward(wide), chunk).passes > 1);
  }
  check_conv(rng, deep);
  check_conv(rng, wide);
  for (const Conv2d& p : {Conv2d{40, 4, 4, 2, 3, 1, 1, 0}, Conv2d{30, 6, 6, 5, 4, 3, 1, 1},
                          Conv2d{20, 9, 9, 4, 6, 3, 2, 1}}) {
    for (const int chunk : {8, 4}) REQUIRE(kernels::WeightTiling(weights_of(p), chunk).shares > 1);
    check_conv(rng, p);
  }
}

TEST_CASE("cuda: convolutions by tiles, random shapes") {
  auto rng = generator(311);
  const auto up_to = [&](int most) {
    return 1 + static_cast<int>(rng() % static_cast<unsigned>(most));
  };
  for (int round = 0; round < 12; ++round) {
    Conv2d p{up_to(3), 0, 0, up_to(40), up_to(40), up_to(4), up_to(3), 0};
    p.padding = static_cast<int>(rng() % static_cast<unsigned>(p.kernel));
    p.h = p.kernel + up_to(9);
    p.w = p.kernel + up_to(9);
    check_conv(rng, p);
  }
}

TEST_CASE("tiles of convolutions: cover all channels, keep a card busy, fit every card") {
  for (const int chunk : {8, 4})
    for (const Conv2d& p :
         {Conv2d{64, 32, 32, 16, 32, 3, 2, 1}, Conv2d{64, 16, 16, 32, 32, 3, 1, 1},
          Conv2d{64, 8, 8, 64, 64, 3, 1, 1}, Conv2d{64, 8, 8, 64, 64, 1, 1, 0},
          Conv2d{96, 2, 2, 128, 768, 2, 1, 0}, Conv2d{8, 4, 4, 2048, 512, 3, 1, 1}}) {
      CAPTURE(p.c_in);
      CAPTURE(chunk);
      for (const auto& windows :
           {kernels::ConvWindows::forward(p), kernels::ConvWindows::backward(p)}) {
        const kernels::WindowTiling t(windows, chunk);
        REQUIRE(t.fits());
        CHECK(t.shared_bytes() <= kernels::most_shared_bytes);
        CHECK(t.slices * t.slice() >= windows.out_c);
        CHECK(t.passes * t.planes.planes * chunk >= windows.in_c);
        CHECK(t.planes.grid.pixels() <= 64 * t.m);
      }
      const kernels::WeightTiling t(weights_of(p), chunk);
      REQUIRE(t.fits());
      CHECK(t.shared_bytes() <= kernels::most_shared_bytes);
      CHECK(t.row_slices * t.rows() >= p.c_out);
      CHECK(t.channel_slices * t.channels() >= p.c_in);
      CHECK(t.shares <= t.tiles);
      // Where parts cost more than they save, few blocks share the pixels.
      if (p.n == 64) CHECK(t.shares * t.blocks_of_share() >= 16);
    }
}
