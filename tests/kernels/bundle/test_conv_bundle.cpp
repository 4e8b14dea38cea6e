// SPDX-License-Identifier: MIT
#include "tests/kernels/bundle/conv_bundle_checks.h"

using namespace drnas;
using namespace drnas::test;

namespace {

/// Roundings against their number in the direct sum. Winograd's method for 3x3 mixes the elements
/// of a tile (a zero comes out as rounding) and its transforms cost some 10 roundings more.
void check_sum(const Doubles& out, const Bounded& reference, double terms, bool may_mix) {
  if (may_mix)
    CHECK(roundings_of_largest(out, reference) <= terms + 32);
  else
    CHECK(roundings(out, reference) <= terms);
}

Images images_of(const ConvBundle& b) { return {b.n, b.h, b.w, b.c, b.x_channels}; }

void check_forward(const ConvBundleCase& c) {
  const ConvBundle& b = c.bundle;
  const Results r = OnCpu{}([&](auto& buffers) { return c.forward(buffers); });
  for (int s = 0; s < b.sizes; ++s) {
    const int k = b.kernel[s];
    check_sum(unpadded(b, s, r.at(result(s, "z"))),
              convolve(images_of(b), c.x, c.weight[s], b.rows(s), k), k * k * b.c + 1, k == 3);
    // They are float32 within an image.
    const double length = b.h * b.w + 8.0;
    check_statistics(b, r, s, length, 4 * length);
  }
  check_modes(OnCpu{}, c, r);
}

/// dz = A dy + B z + C of one size [pixels, rows].
Bounded raw_gradient(const ConvBundleCase& c, int size) {
  const ConvBundle& b = c.bundle;
  const Images g = images_of(b);
  const int rows = b.rows(size);
  Bounded out(b.pixels() * rows);
  for (int e = 0; e < b.edges; ++e)
    for (std::int64_t p = 0; p < b.pixels() && b.has(size, e); ++p)
      for (int ch = 0; ch < b.c; ++ch) {
        const int row = b.slot(size, e) * b.c + ch;
        const Doubles& a = c.coefficients[e][size];
        out.add(p * rows + row, a[ch] * c.dy[e][p * b.x_channels + g.shuffled(ch)]);
        out.add(p * rows + row, a[b.c + ch] * c.z[size][p * b.z_channels(size) + row]);
        out.add(p * rows + row, a[2 * b.c + ch]);
      }
  return out;
}

void check_backward(const ConvBundleCase& c) {
  const ConvBundle& b = c.bundle;
  const Images g = images_of(b);
  const Results got = OnCpu{}([&](auto& buffers) { return c.backward(buffers); });
  Bounded dx(g.count());
  int products = 0;
  bool may_mix = false;
  for (int s = 0; s < b.sizes; ++s) {
    const int k = b.kernel[s];
    const Bounded dweight =
        convolve_adjoint(g, c.x, c.weight[s], b.rows(s), k, raw_gradient(c, s), dx);
    check_sum(got.at(result(s, "dweight")), dweight, static_cast<double>(b.pixels()) + 4, k == 3);
    products += k * k * b.rows(s);
    may_mix = may_mix || k == 3;
  }
  for (int e = 0; e < b.edges; ++e)
    add_pass_through(g, c.dy[e], c.skip[e].value_or(0), c.pool[e].value_or(0), dx);
  // dz takes 3 roundings, the pool 8 and one an edge; then one addition a product.
  check_sum(got.at("dx"), dx, products + 2 * b.edges + 14, may_mix);
  check_parts(OnCpu{}, c, got);
}

ConvBundle random_bundle(Rng& rng, int parts, int c, std::initializer_list<int> most_edges) {
  static const std::vector<int> sizes[] = {{1, 3}, {3, 1}, {1, 3}, {3}, {1}};
  const int n = pick(rng, {1, 2, 3, 5}), h = pick(rng, {1, 2, 3, 5, 7}),
            w = pick(rng, {1, 2, 3, 5, 8}), edges = pick(rng, most_edges);
  return make_bundle(n, h, w, c, parts, edges, sizes[rng() % 5]);
}

/// Calls body(parts, channels) three times for each.
template <class Body>
void each_width(const Body& body) {
  for (const int parts : {1, 2, 4, 8})
    for (const int c : {2, 3, 4, 6, 8, 16})
      for (int trial = 0; trial < 3; ++trial) body(parts, c);
}

/// Several images a chunk and several chunks a thread.
const ConvBundle large_bundles[] = {
    make_bundle(12, 9, 9, 16, 1, 3, {1, 3}), make_bundle(8, 16, 16, 8, 4, 2, {1, 3}),
    make_bundle(12, 5, 7, 3, 2, 1, {3}), make_bundle(6, 16, 16, 16, 1, 3, {3, 1})};

}  // namespace

TEST_CASE("conv bundle: forward against float64") {
  auto rng = generator(61);
  const auto check = [&](const ConvBundle& b) {
    capture_and(b, [&] { check_forward(ConvBundleCase(rng, b)); });
  };
  each_width([&](int parts, int c) { check(random_bundle(rng, parts, c, {1, 2, 3})); });
  for (const ConvBundle& b : large_bundles) check(b);
}

TEST_CASE("conv bundle: backward against float64") {
  auto rng = generator(62);
  const auto check = [&](const ConvBundle& b) {
    capture_and(b, [&] { check_backward(ConvBundleCase(rng, b)); });
  };
  each_width([&](int parts, int c) { check(random_bundle(rng, parts, c, {1, 2, 3})); });
  for (const ConvBundle& b : large_bundles) check(b);
}

TEST_CASE("conv bundle: edges without some sizes, and nodes without any, against float64") {
  auto rng = generator(64);
  const auto check = [&](const ConvBundle& b) {
    const ConvBundleCase c(rng, b);
    capture_and(b, [&] {
      check_forward(c);
      check_backward(c);
    });
  };
  each_width([&](int parts, int c) {
    check(ragged(rng, random_bundle(rng, parts, c, {1, 2, 3, 8})));
  });
  for (ConvBundle b : large_bundles) {
    b.present[0] = 1;
    b.present[1] = 2;
    check(b);
  }
  check(make_bundle(2, 5, 3, 4, 2, 2, {}));
}

TEST_CASE("conv bundle: repeats bit by bit; only weight gradients may depend on the thread count") {
  auto rng = generator(63);
  for (const ConvBundle& b :
       {large_bundles[0], large_bundles[2], make_bundle(5, 7, 5, 8, 2, 2, {1, 3})}) {
    const ConvBundleCase c(rng, b);
    const auto forward = [&] { return OnCpu{}([&](auto& of) { return c.forward(of); }); };
    const auto backward = [&] { return OnCpu{}([&](auto& of) { return c.backward(of); }); };
    Results f, d;
    {
      const Threads one(1);
      f = forward();
      d = backward();
    }
    for (int threads = 1; threads <= 3; ++threads) {
      const Threads more(threads);
      CHECK(forward() == f);
      const Results again = backward();
      CHECK(again == backward());
      CHECK(again.at("dx") == d.at("dx"));
    }
  }
}
