// SPDX-License-Identifier: MIT
// Convolution bundles: CUDA sources against the CPU twin, statistics against float64.
#include "tests/kernels/bundle/conv_bundle_calls.h"

using namespace drnas;
using namespace drnas::test;
using namespace drnas::test::conv_bundle;

namespace {

void check_forward(const ConvBundle& b, const Inputs& in) {
  const Results cpu = forward<Device::cpu>(b, in, Mode::training);
  Results device = forward<Device::cuda>(b, in, Mode::training);
  device.all = in_every_order([&] { return forward<Device::cuda>(b, in, Mode::training).all; });
  const Results still = forward<Device::cuda>(b, in, Mode::no_running),
                evaluation = forward<Device::cuda>(b, in, Mode::evaluation),
                cpu_evaluation = forward<Device::cpu>(b, in, Mode::evaluation);
  for (int s = 0; s < b.sizes; ++s) {
    CHECK(relative_error(device.at(5 * s), cpu.at(5 * s)) <
          tolerance(b.kernel[s] * b.kernel[s] * b.c));
    check_statistics(b, device, s);
    for (int i = 0; i < 3; ++i) CHECK(same_bits(still.at(5 * s + i), device.at(5 * s + i)));
    CHECK(same_bits(evaluation.at(5 * s), device.at(5 * s)));
    for (int i = 1; i < 5; ++i)
      CHECK(same_bits(evaluation.at(5 * s + i), cpu_evaluation.at(5 * s + i)));
  }
}

void check_backward(const ConvBundle& b, const Inputs& in, const Upstream& up) {
  const Results cpu = backward<Device::cpu>(b, in, up);
  Results device = backward<Device::cuda>(b, in, up);
  device.all = in_every_order([&] { return backward<Device::cuda>(b, in, up).all; });
  for (int s = 0; s < b.sizes; ++s)
    CHECK(relative_error(device.at(1 + s), cpu.at(1 + s)) <
          tolerance(static_cast<double>(b.pixels())));
  CHECK(relative_error(device.at(0), cpu.at(0)) < tolerance(products_of_dx(b)));
  // Whatever is left out, the rest keeps its bits.
  for (const Wanted& wanted :
       {Wanted{false}, Wanted{true, {false, false}}, Wanted{true, {true, false}},
        Wanted{false, {false, true}}, Wanted{false, {false, false}}}) {
    const Results part = backward<Device::cuda>(b, in, up, wanted);
    if (wanted.dx) CHECK(same_bits(part.at(0), device.at(0)));
    for (int s = 0; s < b.sizes; ++s)
      if (wanted.dweight[s]) CHECK(same_bits(part.at(1 + s), device.at(1 + s)));
  }
}

/// Several blocks of pixels, several tiles of channels, images of several strips.
const ConvBundle large_shapes[] = {make_bundle(3, 9, 9, 16, 1, 3, {1, 3}),
                                   make_bundle(2, 9, 8, 4, 4, 8, {3}),
                                   make_bundle(2, 7, 9, 12, 2, 7, {3, 1})};

}  // namespace

TEST_CASE("cuda: conv bundle forward agrees with the CPU's") {
  auto rng = random_engine(71);
  const auto check = [&](const ConvBundle& b) { check_forward(b, Inputs(rng, b)); };
  each_shape(rng, check);
  for (const ConvBundle& b : large_shapes) capture_and(b, [&] { check(b); });
}

TEST_CASE("cuda: conv bundle statistics of more pixels than blocks hold at once") {
  auto rng = random_engine(72);
  const ConvBundle b = make_bundle(1, 130, 127, 8, 1, 8, {1});
  const Inputs in(rng, b);
  Results r = forward<Device::cuda>(b, in, Mode::training);
  r.all = in_every_order([&] { return forward<Device::cuda>(b, in, Mode::training).all; });
  check_statistics(b, r, 0);
}

TEST_CASE("cuda: conv bundle backward agrees with the CPU's") {
  auto rng = random_engine(73);
  const auto check = [&](const ConvBundle& b) {
    const Inputs in(rng, b);
    check_backward(b, in, Upstream(rng, b));
  };
  each_shape(rng, check);
  for (const ConvBundle& b : large_shapes) capture_and(b, [&] { check(b); });
}

TEST_CASE("cuda: conv bundles of edges without some sizes, and of none at all") {
  auto rng = random_engine(76);
  const auto check = [&](const ConvBundle& b) {
    const Inputs in(rng, b);
    check_forward(b, in);
    check_backward(b, in, Upstream(rng, b));
  };
  each_shape(rng, [&](const ConvBundle& full) {
    const ConvBundle b = ragged(rng, full);
    capture_and(b, [&] { check(b); });
  });
  // One edge beside many: of tiles of channels and blocks of pixels the sizes need unlike numbers.
  for (const ConvBundle& b : {make_bundle(3, 9, 9, 16, 1, 8, {1, 3}, {0x08, 0xff}),
                              make_bundle(3, 9, 9, 16, 1, 8, {3, 1}, {0xf7, 0x80}),
                              make_bundle(2, 40, 41, 6, 2, 3, {1, 3}, {0x07, 0x02}),
                              make_bundle(2, 5, 4, 4, 4, 3, {}), make_bundle(2, 5, 4, 6, 1, 8, {})})
    capture_and(b, [&] { check(b); });
}

TEST_CASE("cuda: conv bundles replay from a graph") {
  auto rng = random_engine(74);
  for (const ConvBundle& b : {large_shapes[0], make_bundle(2, 5, 3, 6, 2, 2, {1, 3}),
                              make_bundle(2, 5, 3, 6, 2, 3, {1, 3}, {5, 2})}) {
    const Inputs in(rng, b);
    const Upstream up(rng, b);
    const Results f = forward<Device::cuda>(b, in, Mode::no_running),
                  g = backward<Device::cuda>(b, in, up);
    CHECK(same_bits(forward<Device::cuda>(b, in, Mode::no_running, Run::replayed).all, f.all));
    CHECK(same_bits(backward<Device::cuda>(b, in, up, {}, Run::replayed).all, g.all));
  }
}

#ifdef DRNAS_SIMT
TEST_CASE("cuda: conv bundles start few kernels beside the convolutions") {
  auto rng = random_engine(75);
  for (const int c : {6, 8}) {
    const ConvBundle b = make_bundle(1, 3, 3, c, 1, 2, {1, 3});
    const Inputs in(rng, b);
    const Upstream up(rng, b);
    const auto started = [](const auto& body) {
      const std::int64_t before = simt::counts().kernels;
      body();
      return simt::counts().kernels - before;
    };
    CHECK(started([&] { forward<Device::cuda>(b, in, Mode::training); }) == 2);
    CHECK(started([&] { forward<Device::cuda>(b, in, Mode::evaluation); }) == 2);
    CHECK(started([&] { backward<Device::cuda>(b, in, up); }) == (c == 6 ? 3 : 2));
    const ConvBundle none = make_bundle(1, 3, 3, c, 1, 2, {});
    CHECK(started([&] { forward<Device::cuda>(none, in, Mode::training); }) == 0);
    CHECK(started([&] { backward<Device::cuda>(none, in, up); }) == 1);
    CHECK(forward_workspace<Device::cuda, float>(none) == 0);
  }
}
#endif

TEST_CASE("cuda: conv bundles of too many values are refused") {
  CHECK_THROWS_WITH_AS(
      kernels::conv_bundle_forward_workspace<Device::cuda>(
          make_bundle(1024, 1024, 1024, 4, 1, 1, {1})),
      "conv_bundle: 1073741824 pixels of 4 channels, expected fewer than 2^31 values",
      drnas::Error);
}
