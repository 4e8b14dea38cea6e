// SPDX-License-Identifier: MIT
// Augmentation: the CUDA kernel has the bits of the CPU twin.
#include "tests/cases/augment.h"
#include "tests/cuda/harness.h"

using namespace drnas;
using namespace drnas::test;

TEST_CASE("cuda: augment has the bits of the CPU's") {
  auto rng = generator(51);
  const auto compare = [](const AugmentCase& c, int shift = 0) {
    CAPTURE(c.p.size);
    CAPTURE(c.p.cutout);
    CAPTURE(c.p.batch);
    const auto place = [&](auto& b) { return c.batch(b); };
    CHECK(same_bits(OnDevice{every_image({shift})}(place), OnCpu{}(place)));
  };
  const auto wanted = AugmentCase::Labels::wanted;
  compare({rng, 13, 32, 4, true, 16, 3, wanted, true});
  compare({rng, 5, 32, 0, false, 0, 9});
  compare({rng, 64, 32, 4, true, 0, 0xffffffffu, AugmentCase::Labels::no_output, true});
  compare({rng, 7, 16, 2, true, 5, 2, AugmentCase::Labels::no_classes, true});
  compare({rng, 3, 32, 4, true, 8, 1, wanted, true}, 1);  // the first step is 2^32 - 1
  compare({rng, 11, 20, 4, false, 1, 40, wanted, true});
  compare({rng, 6, 7, 9, true, 7, 5, wanted, true});
  compare({rng, 3, 33, 0, true, 40, 6});
  compare({rng, 9, 2, 1, true, 1, 7, wanted, true});
  compare({rng, 8, 1, 0, true, 0, 8, wanted, true});
  compare({rng, 1, 6, 2, true, 3, 4, wanted, true});
  compare({rng, 17, 10, 2, true, 3, 4, wanted, true});
  compare({rng, 5, 64, 8, true, 16, 3, wanted, true});
  compare({rng, 4, 46, 5, true, 9, 12, wanted, true});
  compare({rng, 4, 47, 40, true, 9, 12, wanted, true});
  compare({rng, 1, 690, 86, true, 100, 5, wanted, true});
}
