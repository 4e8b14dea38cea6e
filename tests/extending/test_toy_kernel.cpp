// SPDX-License-Identifier: MIT
#include "tests/extending/toy_kernel_case.h"
#include "tests/support/calls.h"

using namespace drnas;
using namespace drnas::test;

TEST_CASE("extending: a kernel of one's own chooses one operation an edge, all alike") {
  const int edges = 6000, ops = 5;
  const PathDrawCase c{edges, ops, 3};
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
  for (const double n : count)
    CHECK(std::abs(n - edges / 5.0) < 5 * std::sqrt(edges * 0.2 * 0.8));
}
