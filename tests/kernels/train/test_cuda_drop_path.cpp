// SPDX-License-Identifier: MIT
// Drop path: CUDA source against the CPU twin.
#include "tests/cases/drop_path.h"
#include "tests/cuda/harness.h"

using namespace drnas;
using namespace drnas::test;

TEST_CASE("cuda: drop path scales have the bits of the CPU's") {
  for (const auto& [operations, images] : {std::pair{1, 1}, {8, 3}, {160, 7}, {3, 257}})
    for (const float p : {0.0f, 0.3f, 1.0f}) {
      const DropPathCase c{operations, images, p, 41};
      const auto place = [&](auto& b) { return c.scales(b); };
      CHECK(same_bits(OnDevice{}(place), OnCpu{}(place)));
    }
}
