// SPDX-License-Identifier: MIT
// Convolution bundles on bfloat16: CUDA sources against the float32 CPU twin on rounded inputs.
#include "tests/kernels/bundle/rounded_bundles.h"

using namespace drnas;
using namespace drnas::test;

namespace {

void check_forward(const ConvBundleCase& c) {
  const ConvBundle& b = c.bundle;
  const ConvBundleCase narrow = seen(c);
  const Results cpu = OnCpu{}([&](auto& of) { return narrow.forward(of); });
  each_source([&] {
    const Results device = OnDevice{}([&](auto& of) { return c.forward<bfloat16>(of); });
    for (int s = 0; s < b.sizes; ++s) {
      const Doubles& z = cpu.at(result(s, "z"));
      check_each(device.at(result(s, "z")), z, bfloat16_rounding,
                 sum_rounding(b.kernel[s] * b.kernel[s] * b.c) * largest(z));
      check_statistics(b, device, s, 16, 32);
    }
    check_modes<bfloat16>(OnDevice{}, c, device);
  });
}

void check_backward(const ConvBundleCase& c) {
  // On the way to dx: dz, its convolution and the sum are rounded; to dweight: dz and the result.
  each_source([&] {
    check_rounded_backward<bfloat16>(c, 3 * bfloat16_rounding, 2 * bfloat16_rounding);
    check_parts<bfloat16>(OnDevice{}, c,
                          OnDevice{}([&](auto& of) { return c.backward<bfloat16>(of); }));
  });
}

/// Every width of vectors; channels beside multiples of eight.
const ConvBundle bundles[] = {
    make_bundle(2, 5, 3, 1, 1, 2, {1, 3}),   make_bundle(1, 4, 7, 2, 4, 3, {3, 1}),
    make_bundle(3, 3, 5, 3, 2, 1, {3}),      make_bundle(2, 5, 4, 4, 4, 2, {1, 3}),
    make_bundle(1, 6, 6, 6, 1, 3, {1, 3}),   make_bundle(2, 2, 5, 8, 2, 2, {3, 1}),
    make_bundle(2, 3, 3, 9, 1, 3, {1, 3}),   make_bundle(1, 5, 2, 9, 3, 2, {3}),
    make_bundle(2, 1, 7, 12, 2, 1, {1}),     make_bundle(2, 4, 3, 16, 1, 3, {1, 3}),
    make_bundle(2, 3, 4, 18, 2, 2, {1, 3}),  make_bundle(1, 3, 3, 24, 1, 1, {3, 1}),
    make_bundle(2, 9, 8, 4, 4, 8, {3}),      make_bundle(1, 1, 1, 6, 8, 1, {1, 3}),
    make_bundle(2, 17, 35, 4, 4, 3, {1, 3}), make_bundle(1, 5, 3, 40, 2, 2, {1, 3}),
    make_bundle(1, 3, 4, 66, 2, 2, {3}),     make_bundle(1, 4, 3, 1, 20, 2, {1, 3}),
    make_bundle(2, 3, 5, 2, 8, 3, {1, 3}),   make_bundle(1, 9, 2, 32, 8, 8, {1, 3})};

}  // namespace

TEST_CASE("cuda: conv bundle forward on bfloat16") {
  auto rng = generator(81);
  for (const ConvBundle& b : bundles)
    capture_and(b, [&] { check_forward(ConvBundleCase(rng, b)); });
}

TEST_CASE("cuda: conv bundle backward on bfloat16") {
  auto rng = generator(82);
  for (const ConvBundle& b : bundles)
    capture_and(b, [&] { check_backward(ConvBundleCase(rng, b)); });
}

TEST_CASE("cuda: conv bundles on bfloat16 of edges without some sizes, and of none at all") {
  auto rng = generator(84);
  const auto check = [&](const ConvBundle& b) {
    const ConvBundleCase c(rng, b);
    capture_and(b, [&] {
      check_forward(c);
      check_backward(c);
    });
  };
  for (const ConvBundle& full : bundles) check(ragged(rng, full));
  check(make_bundle(2, 9, 8, 16, 1, 8, {1, 3}, {0x04, 0xff}));
  check(make_bundle(2, 5, 4, 4, 4, 3, {}));
}

TEST_CASE("cuda: conv bundles on bfloat16 replay from a graph") {
  auto rng = generator(83);
  const ConvBundleCase c(rng, make_bundle(2, 5, 3, 6, 2, 2, {1, 3}));
  each_source(
      [&] { check_replay([&](auto& of) { return c.forward<bfloat16>(of, Mode::no_running); }); });
  check_replay([&](auto& of) { return c.backward<bfloat16>(of); });
}
