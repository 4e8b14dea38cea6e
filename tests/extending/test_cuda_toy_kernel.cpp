// SPDX-License-Identifier: MIT
#include "tests/cuda/harness.h"
#include "tests/extending/toy_kernel_case.h"

using namespace drnas;
using namespace drnas::test;

TEST_CASE("cuda: random paths of one's own have the bits of the CPU's") {
  for (const auto& [edges, ops] : {std::pair{1, 1}, {6, 5}, {28, 8}, {65, 3}}) {
    PathDrawCase c{edges, ops, 41};
    const auto place = [&](auto& b) { return c.paths(b); };
    CHECK(same_bits(OnDevice{}(place), OnCpu{}(place)));
    for (int i = 0; i < edges * ops; ++i) c.kept.push_back(i % 3 != 1);
    CHECK(same_bits(OnDevice{}(place), OnCpu{}(place)));
  }
}
