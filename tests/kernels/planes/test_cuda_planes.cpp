// SPDX-License-Identifier: MIT
// Layouts and averages of planes: CUDA sources against the CPU twins.
#include "kernels/planes/planes.h"

#include "tests/kernels/planes/plane_arrays.h"

using namespace drnas;
using namespace drnas::test;

TEST_CASE("cuda: to planes, from planes and copies have the CPU's bits") {
  auto rng = generator(541);
  for (const std::int64_t pixels : {1, 2, 5, 9, 16, 49, 64, 127, 260})
    for (const int c : {1, 3, 4, 9, 36, 70}) {
      const PlaneShape s{pick(rng, {1, 2, 3}), c, pixels};
      CAPTURE(pixels);
      CAPTURE(c);
      const Doubles x = normals(rng, s.count()), before = normals(rng, s.count());
      const auto call = [&]<Device D>(PlaneArrays<D>& a) {
        using namespace kernels;
        to_planes<D>(s.n, c, pixels, a.array(x), a.output(s.n, nans(s.count())), nullptr);
        for (const bool accumulate : {false, true}) {
          const Doubles start = accumulate ? before : nans(s.count());
          from_planes<D>(s.n, c, pixels, a.input(s.n, x),
                         a.output(std::vector<float>(start.begin(), start.end())), accumulate,
                         nullptr);
          copy_planes<D>(s.n, c, pixels, a.input(s.n, x), a.output(s.n, start), accumulate,
                         nullptr);
        }
      };
      const Doubles expected = on_cpu(call);
      for (const int spoil : {0, 1, 2}) CHECK(on_device(spoil, call) == expected);
    }
}

TEST_CASE("cuda: the average of a plane and its gradient") {
  auto rng = generator(542);
  for (const std::int64_t pixels : {1, 2, 5, 16, 49, 64, 1026, 4100}) {
    const PlaneShape s{pick(rng, {1, 2, 5}), pick(rng, {1, 3, 17}), pixels};
    const std::int64_t planes = std::int64_t{s.n} * s.c;
    CAPTURE(pixels);
    const Doubles x = normals(rng, s.count()), dy = normals(rng, planes);
    const auto call = [&]<Device D>(PlaneArrays<D>& a) {
      kernels::average_planes_forward<D>(s.n, s.c, pixels, a.input(s.n, x),
                                         a.output(std::vector<float>(planes, NAN)), nullptr);
      kernels::average_planes_backward<D>(s.n, s.c, pixels, a.array(dy),
                                          a.output(s.n, nans(s.count())), nullptr);
    };
    Bounded y(planes);
    s.each(
        [&](int, int, std::int64_t i) { y.add(i / pixels, x[i] / static_cast<double>(pixels)); });
    const Doubles gradient = Parts(on_cpu(call)).take(planes + s.count());
    for (const int spoil : {0, 1, 2}) {
      Parts got(on_device(spoil, call));
      CHECK(roundings(got.take(planes), y) <= 6);
      CHECK(got.take(s.count()) == Doubles(gradient.begin() + planes, gradient.end()));
    }
  }
}
