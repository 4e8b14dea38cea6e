// SPDX-License-Identifier: MIT
// Pooling on planes: CUDA sources against float64 and the CPU twins.
#include "tests/cuda/harness.h"
#include "tests/kernels/planes/plane_pool_reference.h"

using namespace drnas;
using namespace drnas::test;

TEST_CASE("cuda: plane pool, average and maximum, whatever the shape") {
  auto rng = generator(571);
  check_random_pools<OnDevice>(rng);
}

TEST_CASE("cuda: plane pool, single pixels, odd sizes, planes of several tiles, many planes") {
  auto rng = generator(572);
  for (const bool max : {false, true})
    for (const PlanePool& p :
         {PlanePool{2, 3, 1, 1, 3, 1, 1, max}, PlanePool{2, 3, 1, 1, 3, 2, 1, max},
          PlanePool{1, 2, 1, 1, 2, 2, 0, max}, PlanePool{2, 2, 5, 7, 2, 2, 0, max},
          PlanePool{1, 144, 3, 3, 3, 2, 1, max}, PlanePool{1, 1, 2, 1100, 3, 1, 1, max},
          PlanePool{1, 1, 3, 1031, 3, 2, 1, max}, PlanePool{1, 1, 70, 40, 3, 1, 1, max},
          PlanePool{1, 1, 67, 41, 3, 2, 1, max}, PlanePool{1, 1, 2000, 1, 3, 1, 1, max},
          PlanePool{1, 1, 40, 40, 20, 7, 9, max}, PlanePool{1, 1, 66, 70, 64, 1, 2, max},
          PlanePool{30, 20, 2, 2, 3, 1, 1, max}})
      check_pool(OnDevice::any_layout(rng), rng, p, few_values(rng, p));
}

TEST_CASE("cuda: plane pool, gradients of eight edges, and of none") {
  auto rng = generator(573);
  check_numbers_of_edges<OnDevice>(rng);
}

TEST_CASE("cuda: plane pool in evaluation, and impossible windows") {
  auto rng = generator(574);
  check_pool_evaluation<OnDevice>(rng);
  check_refused_pools<Device::cuda>();
}

TEST_CASE("cuda: plane pool, both together are two calls") {
  auto rng = generator(576);
  check_pools_together<OnDevice>(rng);
}

TEST_CASE("cuda: plane pool, infinities and NaNs never reach outside a window") {
  auto rng = generator(575);
  for (const int stride : {1, 2})
    for (const double value : {static_cast<double>(-INFINITY), static_cast<double>(NAN)}) {
      const PlanePool p{1, 2, 6, 7, 3, stride, 1, true};
      const PlanePoolCase c(rng, p, Doubles(input_shape(p).count(), value), 1, false, false);
      const auto backward = [&](auto& b) { return c.backward(b, pooled(c).value); };
      for (const double v : pool_forward(OnDevice{}, c))
        CHECK((std::isnan(value) ? std::isnan(v) : v == value));
      CHECK(OnDevice{}(backward) == OnCpu{}(backward));
    }
}
