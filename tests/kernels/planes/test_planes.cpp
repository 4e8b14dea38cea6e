// SPDX-License-Identifier: MIT
#include "tests/kernels/planes/planes_checks.h"

using namespace drnas;
using namespace drnas::test;

namespace {

constexpr std::int64_t sizes[] = {1, 2, 5, 9, 16, 49, 64, 100, 1030};

}  // namespace

TEST_CASE("planes: to planes, from planes and copies keep every value in its place") {
  auto rng = generator(501);
  for (const std::int64_t pixels : sizes)
    for (const int c : {1, 2, 3, 4, 7, 16, 36, 144})
      check_layouts(OnCpu::any_layout(rng), PlanesCase(rng, {pick(rng, {1, 2, 3}), c, pixels}));
}

TEST_CASE("planes: the average of a plane and its gradient") {
  auto rng = generator(502);
  for (const std::int64_t pixels : sizes)
    check_averages(OnCpu::any_layout(rng),
                   PlanesCase(rng, {pick(rng, {1, 2, 5}), pick(rng, {1, 3, 17}), pixels}),
                   OnCpu::sum_roundings);
}
