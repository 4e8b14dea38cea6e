// SPDX-License-Identifier: MIT
#include "tests/extending/toy_kernel_case.h"
#include "tests/support/calls.h"

using namespace drnas;
using namespace drnas::test;

TEST_CASE("extending: a kernel of one's own chooses one kept operation an edge, all alike") {
  const int edges = 6000, ops = 5;
  for (const bool pruned : {false, true}) {
    PathDrawCase c{edges, ops, 3};
    for (int i = 0; pruned && i < edges * ops; ++i) c.kept.push_back(i % ops % 2 == 0);
    const Doubles theta = OnCpu{}([&](auto& b) { return c.paths(b); }).at("theta");
    Doubles count(ops);
    for (int e = 0; e < edges; ++e) {
      double sum = 0;
      for (int o = 0; o < ops; ++o) {
        sum += theta[e * ops + o];
        count[o] += theta[e * ops + o];
      }
      CHECK(sum == 1);
    }
    const double share = pruned ? 1 / 3.0 : 1 / 5.0;
    for (int o = 0; o < ops; ++o) {
      if (pruned && o % 2 == 1)
        CHECK(count[o] == 0);
      else
        CHECK(std::abs(count[o] - edges * share) < 5 * std::sqrt(edges * share * (1 - share)));
    }
  }
}
