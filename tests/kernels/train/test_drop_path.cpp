// SPDX-License-Identifier: MIT
#include <set>

#include "tests/cases/drop_path.h"
#include "tests/support/calls.h"

using namespace drnas;
using namespace drnas::test;

namespace {

Doubles draw(const DropPathCase& c) {
  return OnCpu{}([&](auto& b) { return c.scales(b); }).at("scale");
}

}  // namespace

TEST_CASE("drop path: zero with the given probability, else 1/keep, so that the mean stays 1") {
  const int count = 160 * 500;
  for (const float p : {0.1f, 0.3f, 0.75f}) {
    double dropped = 0;
    for (const double scale : draw({160, 500, p, 3})) {
      CHECK((scale == 0.0 || scale == double{1.0f / (1.0f - p)}));
      dropped += scale == 0.0;
    }
    CHECK(std::abs(dropped / count - p) < 4 * std::sqrt(p * (1 - p) / count));
  }
  for (const double scale : draw({7, 9, 0.0f, 1})) CHECK(scale == 1.0);
  for (const double scale : draw({7, 9, 1.0f, 1})) CHECK(scale == 0.0);
}

TEST_CASE("drop path: draws depend on step, seed, image and operation, not on the batch") {
  const std::set<Doubles> distinct{draw({64, 4, 0.5f, 1}), draw({64, 4, 0.5f, 2}),
                                   draw({64, 4, 0.5f, 1, 6})};
  CHECK(distinct.size() == 3);
  CHECK(draw({64, 4, 0.5f, 1}) == draw({64, 4, 0.5f, 1}));
  const Doubles small = draw({64, 4, 0.5f, 1}), large = draw({64, 32, 0.5f, 1});
  std::set<Doubles> rows;
  for (int o = 0; o < 64; ++o) {
    for (int i = 0; i < 4; ++i) CHECK(small[o * 4 + i] == large[o * 32 + i]);
    rows.emplace(large.begin() + o * 32, large.begin() + (o + 1) * 32);
  }
  CHECK(rows.size() == 64);
}
