// SPDX-License-Identifier: MIT
// Laws of mixing weights: the CUDA kernels against their CPU twins.
#include "tests/cases/mixing.h"
#include "tests/cuda/harness.h"
#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;

namespace {

/// The same operations in the same order; compilers fuse them differently.
constexpr double bound = 64 * 0x1p-52;

template <class Place>
void check_twins(const Place& place) {
  const Results expected = OnCpu{}(place), got = OnDevice{}(place);
  for (const auto& [name, values] : expected) {
    CAPTURE(name);
    CHECK(max_error(got.at(name), values) < bound);
  }
}

}  // namespace

TEST_CASE("cuda: draws, derivatives and updates of mixing weights agree with the CPU's") {
  auto rng = generator(311);
  for (const auto& [edges, ops] : {std::pair(1, 1), std::pair(6, 5), std::pair(28, 8)})
    for (const bool masked : {false, true}) {
      CAPTURE(edges);
      CAPTURE(ops);
      CAPTURE(masked);
      MixingCase c(rng, edges, ops, masked);
      for (c.samples = 0; c.samples < 3; ++c.samples) {
        check_twins([&](auto& b) { return c.draw(b); });
        const Results drawn = OnCpu{}([&](auto& b) { return c.draw(b); });
        check_twins([&](auto& b) { return c.pair(b, drawn.at("theta")); });
      }
      c.samples = 1;
      const Results drawn = OnCpu{}([&](auto& b) { return c.draw(b); });
      check_twins([&](auto& b) { return c.soft_backward(b, drawn.at("soft")); });
      check_twins([&](auto& b) { return c.score(b, drawn.at("theta")); });
      check_twins([&](auto& b) { return c.edge_weights(b); });
      const Results weights = OnCpu{}([&](auto& b) { return c.edge_weights(b); });
      check_twins([&](auto& b) { return c.exponentiated(b, weights.at("p"), 0.1, 1e-5); });
      for (const double share : {0.0, 0.3})
        check_twins([&](auto& b) { return c.perturb(b, drawn.at("soft"), share); });
    }
}
