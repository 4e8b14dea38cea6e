// SPDX-License-Identifier: MIT
// Our own convolutions of bundles: every tile that blocks may take, in all three kinds of numbers,
// against float64; and the tiling that chooses among them.
#include <cmath>

#include "kernels/bundle/bundle_tiling.h"
#include "kernels/core/shared_bytes.h"
#include "tests/cuda/number_kinds.h"
#include "tests/kernels/bundle/rounded_bundles.h"

using namespace drnas;
using namespace drnas::test;
using kernels::BundleTile;
using kernels::BundleTiling;

namespace {

/// What the kernels multiply.
ConvBundleCase seen(ConvBundleCase c, const NumberKind& kind) {
  kind.round(c.x);
  for (Doubles& weight : c.weight) kind.round(weight);
  return c;
}

struct Sums {
  double value = 0, size = 0;
};
/// z of one size at a pixel and channel, and the sum of its terms' magnitudes.
Sums reference(const ConvBundleCase& c, int s, int pixel, int channel) {
  const ConvBundle& b = c.bundle;
  const int k = b.kernel[s], image = pixel / (b.h * b.w), i = pixel / b.w % b.h, j = pixel % b.w;
  Sums sums;
  for (int tap = 0; tap < k * k; ++tap) {
    const int row = i + tap / k - k / 2, column = j + tap % k - k / 2;
    if (row < 0 || row >= b.h || column < 0 || column >= b.w) continue;
    const std::size_t from =
        static_cast<std::size_t>((image * b.h + row) * b.w + column) * b.x_channels;
    for (int at = 0; at < b.c; ++at) {
      const double term = std::max(c.x[from + at], 0.0) *
                          c.weight[s][static_cast<std::size_t>(channel * k * k + tap) * b.c + at];
      sums.value += term;
      sums.size += std::abs(term);
    }
  }
  return sums;
}

void check_against_float64(const ConvBundleCase& given, const NumberKind& kind,
                           const Results& got) {
  const ConvBundleCase c = seen(given, kind);
  const ConvBundle& b = c.bundle;
  for (int s = 0; s < b.sizes; ++s) {
    const Doubles& z = got.at(result(s, "z"));
    const double terms = b.kernel[s] * b.kernel[s] * b.c + 2;
    for (int pixel = 0; pixel < b.pixels(); ++pixel)
      for (int channel = 0; channel < b.rows(s); ++channel) {
        const Sums sums = reference(c, s, pixel, channel);
        const double value = z[static_cast<std::size_t>(pixel) * b.z_channels(s) + channel];
        // A card may cut what it adds below a float's last bit; then what is stored is rounded.
        const double bound = terms * sums.size * 0x1p-23 +
                             (kind.narrow ? bfloat16_rounding : 0x1p-24) * std::abs(sums.value);
        if (!(std::abs(value - sums.value) <= bound))
          FAIL_CHECK("size ", s, " pixel ", pixel, " channel ", channel, " is ", value,
                     ", expected ", sums.value);
      }
    check_statistics(b, got, s, 16, 32);
  }
}

/// By our own tiles in all kinds of numbers.
void check_forward(const ConvBundleCase& c) {
  each_number_kind([&](const NumberKind& kind) {
    const Results got = OnDevice{}(
        [&](auto& of) { return kind.narrow ? c.forward<bfloat16>(of) : c.forward<float>(of); });
    check_against_float64(c, kind, got);
  });
}

/// The same of the gradients. In bfloat16 dz is rounded, then the sum of identities and pools,
/// whose pools were rounded before, then dx; in TF32 dz and what it is multiplied by.
void check_backward(const ConvBundleCase& c) {
  each_number_kind([&](const NumberKind& kind) {
    if (kind.narrow)
      return check_rounded_backward<bfloat16>(c, 3 * bfloat16_rounding, bfloat16_rounding);
    const double operands = kind.math == kernels::ConvMath::tf32 ? 2 * 0x1p-11 : 0;
    check_rounded_backward<float>(c, operands, operands);
  });
}

/// Runs body by each tile on a case of the bundles in turn. By multiply-adds the widest tile is the
/// tiling's own choice.
template <std::size_t count, class Body>
void each_tile(Rng& rng, const ConvBundle (&bundles)[count], const Body& body) {
  std::size_t at = 0;
  for (const int m : {1, 2, 4})
    for (const int n : {1, 2, 4, 6}) {
      CAPTURE(m);
      CAPTURE(n);
      const BundleTile tile{m, n};
      kernels::prefer_bundle_tile(&tile);
      const ConvBundleCase c(rng, bundles[at++ % count]);
      capture_and(c.bundle, [&] { body(c); });
    }
  kernels::prefer_bundle_tile(nullptr);
}

}  // namespace

TEST_CASE("cuda: bundles by every tile, in fp32, tf32 and bf16") {
  auto rng = generator(201);
  const ConvBundle bundles[] = {make_bundle(2, 17, 9, 16, 1, 3, {1, 3}),
                                make_bundle(1, 5, 35, 8, 2, 2, {3, 1}),
                                make_bundle(3, 4, 5, 6, 1, 3, {1, 3}),
                                make_bundle(2, 8, 8, 4, 4, 4, {1, 3}),
                                make_bundle(1, 7, 6, 2, 8, 5, {3}),
                                make_bundle(2, 6, 7, 20, 1, 1, {1}),
                                make_bundle(1, 9, 8, 12, 1, 3, {1, 3}, {5, 2}),
                                make_bundle(1, 6, 11, 3, 1, 2, {1, 5})};
  each_tile(rng, bundles, check_forward);
}

TEST_CASE("cuda: gradients of nodes by every tile, in fp32, tf32 and bf16") {
  auto rng = generator(203);
  const ConvBundle bundles[] = {
      make_bundle(2, 9, 9, 16, 1, 3, {1, 3}), make_bundle(1, 5, 35, 8, 1, 2, {3, 1}),
      make_bundle(3, 4, 5, 12, 1, 2, {3}),    make_bundle(2, 8, 8, 4, 1, 5, {1, 3}),
      make_bundle(1, 7, 6, 20, 1, 3, {1}),    make_bundle(1, 9, 8, 12, 1, 3, {1, 3}, {5, 2})};
  each_tile(rng, bundles, check_backward);
}

TEST_CASE("cuda: gradients of a bundle's weights in many shares, in fp32, tf32 and bf16") {
  auto rng = generator(206);
  for (const ConvBundle& b :
       {make_bundle(40, 5, 6, 2, 1, 2, {1, 3}), make_bundle(30, 6, 7, 8, 1, 2, {1, 3}),
        make_bundle(25, 6, 6, 4, 2, 1, {3}), make_bundle(9, 9, 11, 24, 1, 1, {1})})
    capture_and(b, [&] { check_backward(ConvBundleCase(rng, b)); });
}

TEST_CASE("cuda: bundles of many channels, in fp32, tf32 and bf16") {
  auto rng = generator(204);
  check_forward(ConvBundleCase(rng, make_bundle(1, 4, 5, 66, 1, 2, {1, 3})));
}

TEST_CASE("cuda: bundles of more tiles than one group of blocks merges") {
  auto rng = generator(202);
  check_forward(ConvBundleCase(rng, make_bundle(37, 3, 5, 2, 1, 2, {1, 3})));
}

TEST_CASE("a bundle's tiling: covers all channels, keeps a card busy, fits every card") {
  const kernels::TileLimits narrow{8, 6, true}, wide{4, 4, false};
  for (const int k : {1, 2, 4, 8})
    for (int stage = 0; stage < 3; ++stage)
      for (const int edges : {1, 2, 3})
        for (const auto& limits : {narrow, wide})
          for (const bool by_edge : {false, true}) {
            const int c = (16 << stage) / k, side = 32 >> stage;
            const ConvBundle b = make_bundle(64, side, side, c, k, edges, {1, 3});
            const BundleTiling t(b, limits, by_edge);
            CAPTURE(c);
            CAPTURE(edges);
            CAPTURE(limits.most_n);
            REQUIRE(t.fits());
            CHECK(t.shared_bytes() <= kernels::most_shared_bytes);
            CHECK(t.slices * t.slice() >= b.z_channels(1));
            CHECK(t.grid.pixels() <= 64 * t.m);
            CHECK(t.tiles(b) * t.slices >= (stage < 2 ? 128 : 64));
            if (by_edge && c % 8 == 0) CHECK(c % t.slice() == 0);
          }
  CHECK_FALSE(BundleTiling(make_bundle(1, 4, 4, 4096, 1, 1, {3}), wide, false).fits());
}

TEST_CASE("a bundle's tiling: its parts run like the whole") {
  auto rng = generator(205);
  const auto pick = [&](std::initializer_list<int> of) { return of.begin()[rng() % of.size()]; };
  for (int trial = 0; trial < 2000; ++trial) {
    const int side = pick({4, 8, 16, 32});
    const ConvBundle whole =
        make_bundle(pick({16, 40, 64, 128, 256}), side, side, pick({4, 16, 32, 64, 128, 256}), 1,
                    pick({1, 2, 3}), {1, 3});
    for (const auto& limits : {kernels::TileLimits{8, 6, true}, kernels::TileLimits{4, 6, true},
                               kernels::TileLimits{4, 4, false}}) {
      const BundleTiling expected(whole, limits, false);
      for (const int kernel : {1, 3}) {
        ConvBundle part = whole;
        part.sizes = 1;
        part.kernel[0] = kernel;
        part.reach = 3;
        for (const bool by_edge : {false, true}) {
          const BundleTiling tiling(part, limits, by_edge);
          CHECK(tiling.fits() == expected.fits());
          CHECK(tiling.m == expected.m);
        }
      }
    }
  }
}

TEST_CASE("a bundle's tiling: tiles that no kernel has are refused") {
  for (const BundleTile tile : {BundleTile{3, 2}, BundleTile{4, 3}, BundleTile{0, 0}})
    CHECK_THROWS_AS(kernels::prefer_bundle_tile(&tile), drnas::Error);
}
