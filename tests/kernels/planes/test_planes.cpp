// SPDX-License-Identifier: MIT
#include "kernels/planes/planes.h"

#include "tests/kernels/planes/plane_reference.h"

using namespace drnas;
using namespace drnas::test;

namespace {

constexpr std::int64_t sizes[] = {1, 2, 5, 9, 16, 49, 64, 100, 1030};

Doubles added(Doubles a, const Doubles& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(a[i] + b[i]);
  return a;
}

/// [n, pixels, c] of planes.
Doubles interleaved(const PlaneShape& s, const Doubles& planes) {
  Doubles out(s.count());
  s.each([&](int image, int ch, std::int64_t i) {
    out[(image * s.pixels + i % s.pixels) * s.c + ch] = planes[i];
  });
  return out;
}

}  // namespace

TEST_CASE("planes: to planes, from planes and copies keep every value in its place") {
  auto rng = generator(501);
  for (const std::int64_t pixels : sizes)
    for (const int c : {1, 2, 3, 4, 7, 16, 36, 144}) {
      const PlaneShape s{pick(rng, {1, 2, 3}), c, pixels};
      CAPTURE(pixels);
      CAPTURE(c);
      const Doubles x = normals(rng, s.count()), before = normals(rng, s.count());
      PlaneBuffer from(rng, s.n, x), to(rng, s.n, c * pixels), copied(rng, s.n, c * pixels),
          sum(rng, s.n, before);
      Guarded in(interleaved(s, x)), out(s.count()), out_sum(before);
      kernels::to_planes<Device::cpu>(s.n, c, pixels, in, to, nullptr);
      CHECK(to.doubles() == x);
      kernels::from_planes<Device::cpu>(s.n, c, pixels, from, out, false, nullptr);
      CHECK(out.doubles() == interleaved(s, x));
      kernels::from_planes<Device::cpu>(s.n, c, pixels, from, out_sum, true, nullptr);
      CHECK(out_sum.doubles() == added(before, interleaved(s, x)));
      kernels::copy_planes<Device::cpu>(s.n, c, pixels, from, copied, false, nullptr);
      CHECK(copied.doubles() == x);
      kernels::copy_planes<Device::cpu>(s.n, c, pixels, from, sum, true, nullptr);
      CHECK(sum.doubles() == added(before, x));
    }
}

TEST_CASE("planes: the average of a plane and its gradient") {
  auto rng = generator(502);
  for (const std::int64_t pixels : sizes) {
    const PlaneShape s{pick(rng, {1, 2, 5}), pick(rng, {1, 3, 17}), pixels}, means{s.n, s.c, 1};
    CAPTURE(pixels);
    const Doubles x = normals(rng, s.count()), dy = normals(rng, means.count());
    Bounded y(means.count());
    s.each([&](int image, int ch, std::int64_t i) {
      y.add(means.at(image, ch, 0), x[i] / static_cast<double>(pixels));
    });
    PlaneBuffer from(rng, s.n, x), dx(rng, s.n, s.c * pixels);
    Guarded out(means.count()), d(dy);
    kernels::average_planes_forward<Device::cpu>(s.n, s.c, pixels, from, out, nullptr);
    CHECK(roundings(out.doubles(), y) <= block_roundings);
    kernels::average_planes_backward<Device::cpu>(s.n, s.c, pixels, d, dx, nullptr);
    Bounded expected(s.count());
    s.each([&](int image, int ch, std::int64_t i) {
      expected.add(i, dy[means.at(image, ch, 0)] / static_cast<double>(pixels));
    });
    CHECK(roundings(dx.doubles(), expected) <= 1);
  }
}
