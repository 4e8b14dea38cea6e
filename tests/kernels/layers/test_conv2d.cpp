// SPDX-License-Identifier: MIT
#include <optional>

#include "tests/kernels/layers/conv2d_reference.h"
#include "tests/support/calls.h"

using namespace drnas;
using namespace drnas::test;
using kernels::Conv2d;

namespace {

/// y, dx and dw, each in a workspace of exactly the size it asks for.
Results passes(const Conv2dCase& c) {
  Results all;
  for (const auto pass : c.passes) all.merge(OnCpu{}([&](auto& b) { return c.pass(b, pass); }));
  return all;
}

}  // namespace

TEST_CASE("conv2d: the three passes against float64") {
  auto rng = generator(31);
  for (int trial = 0; trial < 60; ++trial) {
    const int kernel = pick(rng, {1, 3});
    const Conv2d p{pick(rng, {1, 2, 5}),
                   pick(rng, {1, 3, 8, 9}),
                   pick(rng, {1, 4, 7, 8}),
                   pick(rng, {1, 3, 8, 16, 48}),
                   pick(rng, {1, 3, 5, 8, 16, 48}),
                   kernel,
                   trial % 3 == 0 ? 2 : 1,
                   kernel / 2};
    if (p.kernel == 1 && p.stride == 2 && p.c_in < 8) continue;  // refused, see below
    CAPTURE(p.n);
    CAPTURE(p.h);
    CAPTURE(p.w);
    CAPTURE(p.kernel);
    CAPTURE(p.c_in);
    CAPTURE(p.c_out);
    CAPTURE(p.stride);
    const Conv2dCase c(rng, p);
    const Conv2dReference expected(c);
    const Results got = passes(c);
    CHECK(got == passes(c));
    // One rounding a product and one an addition.
    CHECK(roundings(got.at("y"), expected.y) <= c.terms(Conv2dCase::Pass::forward) + 1);
    CHECK(roundings(got.at("dx"), expected.dx) <= c.terms(Conv2dCase::Pass::backward_data) + 1);
    CHECK(roundings(got.at("dw"), expected.dw) <= c.terms(Conv2dCase::Pass::backward_weight) + 1);
  }
}

TEST_CASE("conv2d: repeats bit by bit; forward and data gradients with any thread count") {
  auto rng = generator(32);
  for (const Conv2d& p : {Conv2d{5, 9, 7, 16, 48, 3, 1, 1}, Conv2d{3, 8, 8, 8, 16, 3, 2, 1},
                          Conv2d{4, 7, 5, 16, 8, 1, 1, 0}}) {
    const Conv2dCase c(rng, p);
    std::optional<Results> first;
    for (int threads = 1; threads <= 3; ++threads) {
      const Threads scope(threads);
      const Results got = passes(c);
      CHECK(got == passes(c));
      if (!first) first = got;
      CHECK(got.at("y") == first->at("y"));
      CHECK(got.at("dx") == first->at("dx"));
    }
  }
}

TEST_CASE("conv2d: a shape that the library gets wrong is refused") {
  CHECK_THROWS_AS(kernels::conv2d_workspace<Device::cpu>({2, 8, 8, 3, 16, 1, 2, 0},
                                                         kernels::ConvPass::backward_weight),
                  Error);
}
