// SPDX-License-Identifier: MIT
#include "kernels/train/drop_path.h"

#include <set>

#include "tests/support/reference.h"

using namespace drnas;

namespace {

std::vector<float> draw(int operations, int images, float p, std::uint32_t step,
                        std::uint64_t seed = 5) {
  std::vector<float> scale(static_cast<std::size_t>(operations) * images);
  kernels::drop_path_scales<Device::cpu>({operations, images, seed, &p, &step}, scale.data(),
                                         nullptr);
  return scale;
}

}  // namespace

TEST_CASE("drop path: zero with the given probability, else 1/keep, so that the mean stays 1") {
  const int count = 160 * 500;
  for (const float p : {0.1f, 0.3f, 0.75f}) {
    double dropped = 0;
    for (const float scale : draw(160, 500, p, 3)) {
      CHECK((scale == 0.0f || scale == 1.0f / (1.0f - p)));
      dropped += scale == 0.0f;
    }
    CHECK(std::abs(dropped / count - p) < 4 * std::sqrt(p * (1 - p) / count));
  }
  for (const float scale : draw(7, 9, 0.0f, 1)) CHECK(scale == 1.0f);
  for (const float scale : draw(7, 9, 1.0f, 1)) CHECK(scale == 0.0f);
}

TEST_CASE("drop path: draws depend on step, seed, image and operation, not on the batch") {
  const std::set<std::vector<float>> distinct{draw(64, 4, 0.5f, 1), draw(64, 4, 0.5f, 2),
                                              draw(64, 4, 0.5f, 1, 6)};
  CHECK(distinct.size() == 3);
  CHECK(draw(64, 4, 0.5f, 1) == draw(64, 4, 0.5f, 1));
  const std::vector<float> small = draw(64, 4, 0.5f, 1), large = draw(64, 32, 0.5f, 1);
  std::set<std::vector<float>> rows;
  for (int o = 0; o < 64; ++o) {
    for (int i = 0; i < 4; ++i) CHECK(small[o * 4 + i] == large[o * 32 + i]);
    rows.emplace(large.begin() + o * 32, large.begin() + (o + 1) * 32);
  }
  CHECK(rows.size() == 64);
}
