// SPDX-License-Identifier: MIT
// Convolution bundles: CUDA sources against the CPU twin, statistics against float64.
#include "tests/cuda/harness.h"
#include "tests/kernels/bundle/conv_bundle_checks.h"

using namespace drnas;
using namespace drnas::test;

namespace {

/// Roundings of a sum of `terms` against the largest result; the CPU twin's methods cost some more.
double tolerance(double terms) { return 0x1p-24 * (terms + 48); }

/// Products that an element of dx is made of, edges' sums included.
int products_of_dx(const ConvBundle& b) {
  int products = 2 * b.edges;
  for (int s = 0; s < b.sizes; ++s) products += b.kernel[s] * b.kernel[s] * b.rows(s);
  return products;
}

void check_forward(const ConvBundleCase& c) {
  const ConvBundle& b = c.bundle;
  const auto forward = [&](auto& buffers) { return c.forward(buffers); };
  const Results cpu = OnCpu{}(forward);
  each_source([&] {
    const Results device = OnDevice{}(forward);
    for (int s = 0; s < b.sizes; ++s) {
      CHECK(max_error(device.at(result(s, "z")), cpu.at(result(s, "z"))) <
            tolerance(b.kernel[s] * b.kernel[s] * b.c));
      // A thread adds up eight values and merges a few sums of eight; the rest is in double.
      check_statistics(b, device, s, 16, 32);
    }
    check_modes(OnDevice{}, c, device);
  });
}

void check_backward(const ConvBundleCase& c) {
  const auto backward = [&](auto& buffers) { return c.backward(buffers); };
  const Results cpu = OnCpu{}(backward);
  each_source([&] {
    const Results device = OnDevice{}(backward);
    for (int s = 0; s < c.bundle.sizes; ++s)
      CHECK(max_error(device.at(result(s, "dweight")), cpu.at(result(s, "dweight"))) <
            tolerance(static_cast<double>(c.bundle.pixels())));
    CHECK(max_error(device.at("dx"), cpu.at("dx")) < tolerance(products_of_dx(c.bundle)));
    check_parts(OnDevice{}, c, device);
  });
}

/// Every number of parts and channels; the rest by chance.
template <class Body>
void each_bundle(Rng& rng, const Body& body) {
  static const std::vector<int> sizes[] = {{1, 3}, {3, 1}, {3}, {1}};
  const auto up_to = [&](unsigned most) { return 1 + static_cast<int>(rng() % most); };
  for (const int parts : {1, 2, 3, 4, 8})
    for (const int c : {1, 2, 3, 4, 6, 8, 9, 16}) {
      const int n = up_to(3), h = up_to(7), w = up_to(7), edges = up_to(3);
      body(make_bundle(n, h, w, c, parts, edges, sizes[rng() % 4]));
    }
}

/// Several blocks of pixels, several tiles of channels, images of several strips.
const ConvBundle large_bundles[] = {make_bundle(3, 9, 9, 16, 1, 3, {1, 3}),
                                    make_bundle(2, 9, 8, 4, 4, 8, {3}),
                                    make_bundle(2, 7, 9, 12, 2, 7, {3, 1})};

/// Shuffled channels: several tiles down and across, chunks of channels, many parts.
const ConvBundle shuffled_bundles[] = {
    make_bundle(2, 17, 35, 4, 4, 3, {1, 3}), make_bundle(1, 5, 3, 40, 2, 2, {1, 3}),
    make_bundle(1, 3, 4, 66, 2, 2, {3}),     make_bundle(1, 2, 3, 36, 3, 3, {1}),
    make_bundle(1, 4, 3, 1, 20, 2, {1, 3}),  make_bundle(1, 9, 2, 32, 8, 8, {1, 3})};

}  // namespace

TEST_CASE("cuda: conv bundle forward agrees with the CPU's") {
  auto rng = generator(71);
  const auto check = [&](const ConvBundle& b) {
    capture_and(b, [&] { check_forward(ConvBundleCase(rng, b)); });
  };
  each_bundle(rng, check);
  for (const ConvBundle& b : large_bundles) check(b);
}

TEST_CASE("cuda: conv bundle statistics of more pixels than blocks hold at once") {
  auto rng = generator(72);
  const ConvBundle b = make_bundle(1, 130, 127, 8, 1, 8, {1});
  const ConvBundleCase c(rng, b);
  each_source([&] {
    check_statistics(b, OnDevice{}([&](auto& buffers) { return c.forward(buffers); }), 0, 16, 32);
  });
}

TEST_CASE("cuda: conv bundle backward agrees with the CPU's") {
  auto rng = generator(73);
  const auto check = [&](const ConvBundle& b) {
    capture_and(b, [&] { check_backward(ConvBundleCase(rng, b)); });
  };
  each_bundle(rng, check);
  for (const ConvBundle& b : large_bundles) check(b);
  for (const ConvBundle& b : shuffled_bundles) {
    check(b);
    check(ragged(rng, b));
  }
}

TEST_CASE("cuda: conv bundles of edges without some sizes, and of none at all") {
  auto rng = generator(76);
  const auto check = [&](const ConvBundle& b) {
    const ConvBundleCase c(rng, b);
    capture_and(b, [&] {
      check_forward(c);
      check_backward(c);
    });
  };
  each_bundle(rng, [&](const ConvBundle& full) { check(ragged(rng, full)); });
  // One edge beside many: of tiles of channels and blocks of pixels the sizes need unlike numbers.
  for (const ConvBundle& b : {make_bundle(3, 9, 9, 16, 1, 8, {1, 3}, {0x08, 0xff}),
                              make_bundle(3, 9, 9, 16, 1, 8, {3, 1}, {0xf7, 0x80}),
                              make_bundle(2, 40, 41, 6, 2, 3, {1, 3}, {0x07, 0x02}),
                              make_bundle(2, 5, 4, 4, 4, 3, {}), make_bundle(2, 5, 4, 6, 1, 8, {})})
    check(b);
}

TEST_CASE_TEMPLATE("cuda: conv bundles of a node whose parts lie apart", T, float, bfloat16) {
  auto rng = generator(78);
  for (const ConvBundle& b : shuffled_bundles) {
    ConvBundleCase c(rng, b);
    capture_and(b, [&] {
      each_source([&] {
        c.bundle.apart = false;
        const Results z = OnDeviceOnce{}([&](auto& of) { return c.forward<T>(of); });
        c.bundle.apart = true;
        CHECK(same_bits(OnDevice{}([&](auto& of) { return c.forward<T>(of); }), z));
      });
      c.bundle.apart = false;
      const Results got = OnDeviceOnce{}([&](auto& of) { return c.backward<T>(of); });
      c.bundle.apart = true;
      CHECK(same_bits(OnDevice{}([&](auto& of) { return c.backward<T>(of); }), got));
    });
  }
}

TEST_CASE("cuda: conv bundles replay from a graph") {
  auto rng = generator(74);
  for (const ConvBundle& b : {large_bundles[0], make_bundle(2, 5, 3, 6, 2, 2, {1, 3}),
                              make_bundle(2, 5, 3, 6, 2, 3, {1, 3}, {5, 2})}) {
    const ConvBundleCase c(rng, b);
    each_source([&] {
      check_replay([&](auto& of) { return c.forward(of, Mode::no_running); });
      check_replay([&](auto& of) { return c.backward(of); });
    });
  }
}

#ifdef DRNAS_SIMT
TEST_CASE("cuda: conv bundles start few kernels beside the convolutions") {
  auto rng = generator(75);
  for (const int channels : {6, 8}) {
    const ConvBundleCase c(rng, make_bundle(1, 3, 3, channels, 1, 2, {1, 3})),
        none(rng, make_bundle(1, 3, 3, channels, 1, 2, {}));
    const auto started = [](const auto& place) {
      Buffers<Device::cuda> buffers;
      const Call call = place(buffers);
      const std::int64_t before = simt::counts().kernels;
      call.run(nullptr);
      return simt::counts().kernels - before;
    };
    CHECK(started([&](auto& b) { return c.forward(b); }) == 1);
    CHECK(started([&](auto& b) { return c.forward(b, Mode::evaluation); }) == 1);
    // Where dz cannot be formed as it is loaded, a kernel does so before.
    const ConvBundleWanted without_weights{true, {false, false}};
    const int before = channels % 8 == 0 ? 0 : 1;
    CHECK(started([&](auto& b) { return c.backward(b, without_weights); }) == 1 + before);
    CHECK(started([&](auto& b) { return c.backward(b); }) == 2 + before);
    CHECK(started([&](auto& b) { return c.backward<bfloat16>(b); }) == 2 + before);
    CHECK(started([&](auto& b) { return none.forward(b); }) == 0);
    CHECK(started([&](auto& b) { return none.backward(b); }) == 1);
    CHECK(forward_workspace<Device::cuda, float>(none.bundle) == 0);
    if (!has_vendor_libraries()) continue;
    kernels::set_conv_source(kernels::ConvSource::vendor);
    CHECK(started([&](auto& b) { return c.forward(b); }) == 2);
    CHECK(started([&](auto& b) { return c.forward(b, Mode::evaluation); }) == 2);
    CHECK(started([&](auto& b) { return c.backward(b); }) == 2);
    // Gradients of weights in bfloat16 are widened.
    CHECK(started([&](auto& b) { return c.backward<bfloat16>(b); }) == 4);
    kernels::set_conv_source(kernels::ConvSource::automatic);
  }
}
#endif

TEST_CASE("cuda: conv bundles of more parts than a block can sort are refused") {
  auto rng = generator(77);
  const ConvBundleCase c(rng, make_bundle(1, 1, 1, 1, 12300, 1, {1}));
  Buffers<Device::cuda> buffers;
  CHECK_THROWS_WITH_AS(c.backward(buffers).run(nullptr),
                       "conv_bundle: a node in 12300 parts, more than fit a block's shared memory",
                       drnas::Error);
}

TEST_CASE("cuda: conv bundles of too many values are refused") {
  CHECK_THROWS_WITH_AS(
      kernels::conv_bundle_forward_workspace<Device::cuda>(
          make_bundle(1024, 1024, 1024, 4, 1, 1, {1})),
      "conv_bundle: 1073741824 pixels of 4 channels, expected fewer than 2^31 values",
      drnas::Error);
}
