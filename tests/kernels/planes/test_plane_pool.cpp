// SPDX-License-Identifier: MIT
#include "tests/kernels/planes/plane_pool_reference.h"

using namespace drnas;
using namespace drnas::test;

TEST_CASE("plane pool: average and maximum against float64, whatever the shape") {
  auto rng = generator(521);
  check_random_pools<OnCpu>(rng);
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
      check_pool(OnCpu::any_layout(rng), rng, p, few_values(rng, p));
}

TEST_CASE("plane pool: gradients of eight edges, and of none") {
  auto rng = generator(523);
  check_numbers_of_edges<OnCpu>(rng);
}

TEST_CASE("plane pool: the statistics are those of the result, whatever the number of threads") {
  auto rng = generator(524);
  for (int i = 0; i < 24; ++i)
    for (const int count : {1, 3}) {
      const Threads threads(count);
      const PlanePool p = random_pool(rng, i, i % 4 < 2);
      check_pool(OnCpu::any_layout(rng), rng, p, normals(rng, input_shape(p).count()));
    }
  check_pool_evaluation<OnCpu>(rng);
}

TEST_CASE("plane pool: both together are two calls") {
  auto rng = generator(526);
  check_pools_together<OnCpu>(rng);
}

TEST_CASE("plane pool: infinities and NaNs never reach outside a window") {
  auto rng = generator(525);
  const OnCpu run = OnCpu::any_layout(rng);
  for (const int stride : {1, 2}) {
    const PlanePool p{1, 2, 6, 7, 3, stride, 1, true};
    const std::int64_t count = input_shape(p).count();
    const PlanePoolCase c(rng, p, Doubles(count, -INFINITY), 1, false, false),
        lost(rng, p, Doubles(count, NAN), 1, false, false);
    CHECK(pool_forward(run, c) == pooled(c).value);
    check_pool_gradient(run, c);
    for (const double y : pool_forward(run, lost)) CHECK(std::isnan(y));
    const Results got = run([&](auto& b) { return lost.backward(b, pooled(lost).value); });
    CHECK(dot(got.at("dx"), Doubles(count, 1.0)) < INFINITY);
  }
  Doubles x(16, 1.0);
  x[5] = NAN;
  const Doubles y =
      pool_forward(run, PlanePoolCase(rng, {1, 1, 4, 4, 2, 2, 0, true}, x, 0, false, false));
  CHECK(std::isnan(y[0]));
  CHECK(y[3] == 1.0);
}

TEST_CASE("plane pool: impossible windows are refused") { check_refused_pools<Device::cpu>(); }
