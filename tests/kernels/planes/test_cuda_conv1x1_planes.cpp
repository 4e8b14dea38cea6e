// SPDX-License-Identifier: MIT
// 1x1 convolutions on planes: the device's results against float64.
#include "kernels/layers/conv2d.h"
#include "tests/cuda/conv_source.h"
#include "tests/cuda/harness.h"
#include "tests/kernels/planes/conv1x1_reference.h"

using namespace drnas;
using namespace drnas::test;
using kernels::Conv1x1Planes;

namespace {

const Conv1x1Planes shapes[] = {
    {1, 1, 1, 1, true, 1, 1, {1}, {0}},
    {2, 12, 8, 8, true, 1, 2, {6, 12}, {0, 0}},
    {3, 9, 7, 7, true, 1, 3, {2, 3, 5}, {0, 0, 0}},
    {17, 4, 3, 2, true, 1, 1, {9}, {0}},
    {2, 16, 5, 6, false, 1, 4, {1, 4, 6, 18}, {0, 0, 0, 0}},
    {2, 12, 8, 8, true, 2, 2, {6, 6}, {0, 1}},
    {3, 3, 6, 10, true, 2, 3, {4, 2, 5}, {1, 0, 1}},
    {9, 2, 4, 2, false, 2, 1, {3}, {1}},
    {2, 6, 2, 14, true, 2, 1, {2}, {0}},
    {11, 64, 4, 4, true, 1, 1, {36}, {0}},
};

}  // namespace

TEST_CASE("cuda: pointwise planes, every product") {
  auto rng = generator(1000);
  for (const Conv1x1Planes& p : shapes)
    for (const int gap : {0, 2, 3, 8}) {
      const Conv1x1Case c(rng, p);
      each_source([&] {
        check_conv1x1(OnDevice{every_image({0, gap})}, c, {true, gap < 3}, sum_tolerance);
      });
    }
}

TEST_CASE("cuda: pointwise planes, gradients overwritten, added to and left out") {
  auto rng = generator(1050);
  for (const Conv1x1Planes& p : {shapes[1], shapes[4], shapes[6], shapes[8]}) {
    const Conv1x1Case c(rng, p);
    for (const Conv1x1Case::Wanted& wanted : {Conv1x1Case::Wanted{true, false},
                                              {true, true},
                                              {false, false, 1u},
                                              {true, false, 0u},
                                              {true, true, 2u}})
      check_conv1x1(OnDevice{every_image({0, 4})}, c, wanted, sum_tolerance);
  }
}

TEST_CASE("cuda: pointwise planes, random shapes") {
  auto rng = generator(1060);
  for (int round = 0; round < 30; ++round) {
    const Conv1x1Case c(rng, random_conv1x1(rng, {{1, 2, 3, 9, 20},
                                                  {1, 2, 3, 4, 6, 9, 12, 16, 18},
                                                  {1, 2, 3, 6, 9, 16, 18},
                                                  {1, 2, 3, 4},
                                                  {1, 2, 5, 7}}));
    const int shift = pick(rng, {0, 0, 1, 2}), gap = pick(rng, {0, 1, 4, 6});
    check_conv1x1(OnDevice{every_image({shift, gap})}, c, {true, rng() % 2 == 0}, sum_tolerance);
  }
}

TEST_CASE("cuda: pointwise planes in TF32 are close") {
  auto rng = generator(1070);
  kernels::set_conv_math(kernels::ConvMath::tf32);
  // Each product is off by up to 2^-10 of itself; the errors of a sum grow as its values do.
  for (const Conv1x1Planes& p : {shapes[1], shapes[5], shapes[9]})
    check_conv1x1(OnDevice{}, Conv1x1Case(rng, p), {}, [](double) { return 0x1p-9; });
  kernels::set_conv_math(kernels::ConvMath::fp32);
}
