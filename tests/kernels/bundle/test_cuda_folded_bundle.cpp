// SPDX-License-Identifier: MIT
// Bundles in evaluation, whose batch norm and mixing weights are folded into one convolution an
// edge: CUDA sources against the formula in float64, where each size is convolved and normalised on
// its own.
#include "tests/cases/folded_bundle.h"

#include "tests/cuda/harness.h"
#include "tests/kernels/bundle/conv_bundle_checks.h"

using namespace drnas;
using namespace drnas::test;

namespace {

/// What the edges' convolutions add to their destinations, [pixels, rows of bundle.folded()].
Bounded unfolded(const FoldedBundleCase& c) {
  const ConvBundle &b = c.bundle, one = b.folded();
  Bounded sum(b.pixels() * one.rows(0));
  for (int s = 0; s < b.sizes; ++s) {
    const int rows = b.rows(s);
    const Bounded z =
        convolve({b.n, b.h, b.w, b.c, b.x_channels}, c.x, c.weight[s], rows, b.kernel[s]);
    for (int e = 0; e < b.edges; ++e)
      for (int ch = 0; ch < b.c && b.has(s, e); ++ch) {
        const int row = b.slot(s, e) * b.c + ch, to = one.slot(0, e) * b.c + ch;
        const double mean = c.running_mean[s][row],
                     scale = c.theta[c.index(s, e)] / std::sqrt(c.running_var[s][row] + c.eps);
        for (std::int64_t p = 0; p < b.pixels(); ++p)
          sum.add(p * one.rows(0) + to, scale * (z.value[p * rows + row] - mean),
                  std::abs(scale) * (z.magnitude[p * rows + row] + std::abs(mean)));
      }
  }
  return sum;
}

template <class T>
void check(FoldedBundleCase c) {
  c.x = rounded<T>(c.x);
  for (Doubles& weights : c.weight) weights = rounded(weights);
  const ConvBundle &b = c.bundle, one = b.folded();
  const Bounded expected = b.sizes ? unfolded(c) : Bounded(0);
  each_source([&] {
    const Results got = OnDevice{}([&](auto& of) { return c.folded<T>(of); });
    if (b.sizes == 0) {
      CHECK(got.at("z").empty());
      return;
    }
    Doubles sum = unpadded(one, 0, got.at("z"));
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] -= got.at("mean")[i % one.rows(0)];
    // Five roundings of a weight before the products, whose sum Winograd's method may make;
    // bfloat16 rounds weights and results once more.
    const int terms = one.kernel[0] * one.kernel[0] * b.c + 40,
              store = sizeof(T) == 2 ? 1 << 17 : 0;
    CHECK(roundings_of_largest(sum, expected) <= terms + store);
  });
}

template <class T>
void check_all(const ConvBundle& bundle, Rng& rng) {
  for (const ConvBundle& b : {bundle, ragged(rng, bundle)})
    capture_and(b, [&] { check<T>(FoldedBundleCase(rng, b)); });
}

}  // namespace

TEST_CASE_TEMPLATE("cuda: folded bundles against the formula in float64", T, float, bfloat16) {
  auto rng = generator(81);
  for (const int parts : {1, 2, 4})
    for (const int c : {1, 2, 3, 4, 6, 8, 9, 16}) {
      const std::vector<int> sizes[] = {{1, 3}, {3, 1}, {3}, {1}};
      const int n = 1 + static_cast<int>(rng() % 3), side = 1 + static_cast<int>(rng() % 7);
      check_all<T>(make_bundle(n, side, side + 1, c, parts, 1 + static_cast<int>(rng() % 4),
                               sizes[rng() % 4]),
                   rng);
    }
  check<T>(FoldedBundleCase(rng, make_bundle(2, 3, 3, 8, 1, 3, {})));
}

TEST_CASE("cuda: folded bundles in TF32 against the formula in float64") {
  auto rng = generator(85);
  kernels::set_conv_math(kernels::ConvMath::tf32);
  for (const int c : {3, 8, 20}) {
    const FoldedBundleCase k(rng, make_bundle(2, 5, 6, c, 1, 3, {1, 3}));
    const ConvBundle one = k.bundle.folded();
    const Results got = OnDevice{}([&](auto& of) { return k.folded<float>(of); });
    Doubles sum = unpadded(one, 0, got.at("z"));
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] -= got.at("mean")[i % one.rows(0)];
    // Both operands are rounded to 11 bits: 2^14 roundings of float32 in all.
    CHECK(roundings_of_largest(sum, unfolded(k)) <= (1 << 14) + 9 * c + 40);
  }
  kernels::set_conv_math(kernels::ConvMath::fp32);
}

TEST_CASE_TEMPLATE("cuda: folded bundles of a node whose parts lie apart", T, float, bfloat16) {
  auto rng = generator(82);
  for (const int c : {3, 8}) {
    FoldedBundleCase k(rng, make_bundle(2, 5, 4, c, 4, 3, {1, 3}));
    each_source([&] {
      k.bundle.apart = false;
      const Results dense = OnDeviceOnce{}([&](auto& of) { return k.folded<T>(of); });
      k.bundle.apart = true;
      CHECK(same_bits(OnDevice{}([&](auto& of) { return k.folded<T>(of); }), dense));
    });
  }
}

TEST_CASE("cuda: folded bundles replay from a graph") {
  auto rng = generator(83);
  const FoldedBundleCase c(rng, make_bundle(2, 5, 3, 6, 2, 3, {1, 3}, {5, 2}));
  each_source([&] { check_replay([&](auto& of) { return c.folded(of); }); });
}

#ifdef DRNAS_SIMT
TEST_CASE("cuda: folded bundles start one kernel, the vendor's beside one convolution") {
  auto rng = generator(84);
  for (const int channels : {6, 8}) {
    const FoldedBundleCase c(rng, make_bundle(1, 3, 3, channels, 1, 2, {1, 3}));
    each_source([&] {
      Buffers<Device::cuda> buffers;
      const Call call = c.folded(buffers);
      const std::int64_t before = simt::counts().kernels;
      call.run(nullptr);
      CHECK(simt::counts().kernels - before == 1);
    });
  }
}
#endif
