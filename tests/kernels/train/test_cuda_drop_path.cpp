// SPDX-License-Identifier: MIT
// Drop path: CUDA source against the CPU twin.
#include "kernels/train/drop_path.h"
#include "tests/cuda/harness.h"

using namespace drnas;
using namespace drnas::test;

TEST_CASE("cuda: drop path scales have the bits of the CPU's") {
  for (const auto& [operations, images] : {std::pair{1, 1}, {8, 3}, {160, 7}, {3, 257}})
    for (const float p : {0.0f, 0.3f, 1.0f}) {
      const std::uint32_t step = 41;
      const std::size_t count = static_cast<std::size_t>(operations) * images;
      std::vector<float> expected(count);
      kernels::drop_path_scales<Device::cpu>({operations, images, 9, &p, &step}, expected.data(),
                                             nullptr);
      const auto found = in_every_order([&, operations = operations, images = images] {
        const DeviceArray<float> scale(count), probability(std::vector<float>{p});
        const DeviceArray<std::uint32_t> draw(std::vector<std::uint32_t>{step});
        kernels::drop_path_scales<Device::cuda>({operations, images, 9, probability, draw}, scale,
                                                nullptr);
        return scale.read();
      });
      CHECK(same_bits(found, expected));
    }
}
