// SPDX-License-Identifier: MIT
#include "tests/kernels/planes/plane_inputs.h"
#include "tests/kernels/planes/plane_pool_reference.h"

using namespace drnas;
using namespace drnas::test;
using kernels::NormMode;
using kernels::PlanePool;
using kernels::PlanePoolBackward;

namespace {

Doubles forward(std::mt19937_64& rng, const PlanePool& p, const Doubles& x) {
  PlaneBuffer in(rng, p.n, x), y(rng, p.n, output_shape(p).count() / p.n);
  kernels::plane_pool_forward<Device::cpu>(p, in, y, {}, {}, nullptr, nullptr);
  return y.doubles();
}

Doubles backward(std::mt19937_64& rng, const PoolGradientCase& c) {
  Inputs inputs(rng);
  PlaneBuffer dx(rng, c.p.n, c.start());
  PlanePoolBackward b = c.call(inputs);
  b.dx = dx;
  kernels::plane_pool_backward<Device::cpu>(b, nullptr);
  return dx.doubles();
}

/// Additions of a window's gradient into a pixel, weights and shares besides.
double gradient_roundings(const PoolGradientCase& c) {
  return 8 + 3 * static_cast<double>(c.gradients.size()) + c.p.kernel * c.p.kernel;
}

void check(std::mt19937_64& rng, const PlanePool& p, const Doubles& x) {
  CAPTURE(p.h);
  CAPTURE(p.w);
  CAPTURE(p.kernel);
  CAPTURE(p.stride);
  CAPTURE(p.padding);
  CAPTURE(p.max);
  if (p.max)
    CHECK(forward(rng, p, x) == pool(p, x).value);
  else
    CHECK(roundings(forward(rng, p, x), pool(p, x)) <= p.kernel * p.kernel + 1);
  for (const int edges : {1, 3})
    for (const bool accumulate : {false, true}) {
      const PoolGradientCase c(rng, p, x, edges, rng() % 4 != 0, accumulate);
      CHECK(roundings(backward(rng, c), c.gradient()) <= gradient_roundings(c));
    }
}

}  // namespace

TEST_CASE("plane pool: average and maximum against float64, whatever the shape") {
  auto rng = generator(521);
  for (int i = 0; i < 64; ++i) {
    const PlanePool p = random_pool(rng, i, i / 16 % 2 == 0);
    check(rng, p,
          i % 3 ? normals(rng, input_shape(p).count()) : few_values(rng, input_shape(p).count()));
  }
}

TEST_CASE("plane pool: single pixels, odd sizes, rows longer than a strip") {
  auto rng = generator(522);
  for (const bool max : {false, true})
    for (const PlanePool& p :
         {PlanePool{2, 3, 1, 1, 3, 1, 1, max}, PlanePool{2, 3, 1, 1, 3, 2, 1, max},
          PlanePool{1, 2, 1, 1, 2, 2, 0, max}, PlanePool{2, 2, 5, 7, 2, 2, 0, max},
          PlanePool{1, 144, 3, 3, 3, 2, 1, max}, PlanePool{1, 1, 2, 1100, 3, 1, 1, max},
          PlanePool{1, 1, 3, 1031, 3, 2, 1, max}, PlanePool{1, 2, 70, 40, 3, 1, 1, max},
          PlanePool{1, 1, 40, 40, 20, 7, 9, max}})
      check(rng, p, few_values(rng, input_shape(p).count()));
}

TEST_CASE("plane pool: gradients of eight edges, and of none") {
  auto rng = generator(523);
  for (const int edges : {0, PlanePoolBackward::max_edges}) {
    const PlanePool p{2, 3, 8, 9, 3, 1, 1, edges == 0};
    const PoolGradientCase c(rng, p, normals(rng, input_shape(p).count()), edges, true, false);
    CHECK(roundings(backward(rng, c), c.gradient()) <= gradient_roundings(c));
  }
}

TEST_CASE("plane pool: the statistics are those of the result") {
  auto rng = generator(524);
  const NormMode mode{true, 1e-3f, 0.3f};
  for (int i = 0; i < 24; ++i) {
    const PlanePool p = random_pool(rng, i, i % 4 < 2);
    const Doubles x = normals(rng, input_shape(p).count());
    for (const int count : {1, 3}) {
      const Threads threads(count);
      PlaneBuffer in(rng, p.n, x), y(rng, p.n, output_shape(p).count() / p.n);
      StatisticsBuffer statistics(p.c);
      Scratch scratch(kernels::plane_pool_workspace<Device::cpu>(p));
      kernels::plane_pool_forward<Device::cpu>(p, in, y, statistics.all(), mode, scratch, nullptr);
      CHECK(y.doubles() == forward(rng, p, x));
      check_statistics(output_shape(p), y.doubles(), mode, statistics);
    }
  }
  const PlanePool p{1, 2, 4, 4, 3, 1, 1, false};
  PlaneBuffer in(rng, 1, normals(rng, 32)), y(rng, 1, 32);
  StatisticsBuffer statistics(2);
  kernels::plane_pool_forward<Device::cpu>(p, in, y, statistics.all(), {false, 0.25f, 0.1f},
                                           nullptr, nullptr);
  CHECK(statistics.mean.doubles() == Doubles{0.5, 0.5});
  CHECK(max_error(statistics.inv_std.doubles(), {1 / 1.5, 1 / 1.5}) < float_epsilon);
}

TEST_CASE("plane pool: infinities and NaNs never reach outside a window") {
  auto rng = generator(525);
  for (const int stride : {1, 2}) {
    const PlanePool p{1, 2, 6, 7, 3, stride, 1, true};
    Doubles x(input_shape(p).count(), -INFINITY);
    const PoolGradientCase c(rng, p, x, 1, false, false);
    CHECK(forward(rng, p, x) == pool(p, x).value);
    CHECK(roundings(backward(rng, c), c.gradient()) <= gradient_roundings(c));
    PoolGradientCase lost(rng, p, Doubles(x.size(), NAN), 1, false, false);
    for (const double y : forward(rng, p, lost.x)) CHECK(std::isnan(y));
    CHECK(dot(backward(rng, lost), Doubles(x.size(), 1.0)) < INFINITY);
  }
  Doubles x(16, 1.0);
  x[5] = NAN;
  const Doubles y = forward(rng, {1, 1, 4, 4, 2, 2, 0, true}, x);
  CHECK(std::isnan(y[0]));
  CHECK(y[3] == 1.0);
}

TEST_CASE("plane pool: impossible windows are refused") {
  auto rng = generator(526);
  PlaneBuffer x(rng, 1, 16), y(rng, 1, 64);
  for (const PlanePool& p :
       {PlanePool{1, 1, 4, 4, 0, 1, 0, true}, PlanePool{1, 1, 4, 4, 3, 0, 1, true},
        PlanePool{1, 1, 4, 4, 3, 1, 2, true}, PlanePool{1, 1, 4, 4, 65, 1, 32, true},
        PlanePool{1, 1, 1, 4, 3, 1, 0, false}})
    CHECK_THROWS_AS(kernels::plane_pool_forward<Device::cpu>(p, x, y, {}, {}, nullptr, nullptr),
                    Error);
}
