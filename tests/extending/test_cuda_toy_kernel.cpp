// SPDX-License-Identifier: MIT
#include "tests/cuda/harness.h"
#include "tests/extending/toy_kernel_case.h"

using namespace drnas;
using namespace drnas::test;

TEST_CASE("cuda: random paths of one's own have the bits of the CPU's") {
  for (const auto& [edges, ops] : {std::pair{1, 1}, {6, 5}, {28, 8}, {65, 3}}) {
    const PathDrawCase c{edges, ops, 41};
    const auto place = [&](auto& b) { return c.paths(b); };
    CHECK(same_bits(OnDevice{}(place), OnCpu{}(place)));
  }
}
