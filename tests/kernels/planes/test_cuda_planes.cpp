// SPDX-License-Identifier: MIT
// Layouts and averages of planes: CUDA sources against the definition and the CPU twins.
#include "tests/cuda/harness.h"
#include "tests/kernels/planes/planes_checks.h"

using namespace drnas;
using namespace drnas::test;

TEST_CASE("cuda: to planes, from planes and copies keep every value in its place") {
  auto rng = generator(541);
  for (const std::int64_t pixels : {1, 2, 5, 9, 16, 49, 64, 127, 260})
    for (const int c : {1, 3, 4, 9, 36, 70}) {
      const PlanesCase k(rng, {pick(rng, {1, 2, 3}), c, pixels});
      for (const int shift : {0, 1, 2}) check_layouts(OnDevice{every_image({shift, shift})}, k);
    }
}

TEST_CASE("cuda: the average of a plane and its gradient") {
  auto rng = generator(542);
  for (const std::int64_t pixels : {1, 2, 5, 16, 49, 64, 1026, 4100}) {
    const PlanesCase k(rng, {pick(rng, {1, 2, 5}), pick(rng, {1, 3, 17}), pixels});
    for (const int shift : {0, 1, 2}) check_averages(OnDevice{every_image({shift, shift})}, k, 6);
  }
}
