// SPDX-License-Identifier: MIT
// A bundle's backward pass and the reductions of the mix that made its node, in one launch: against
// the bundle's pass alone, and the mix's sums in float64.
#include "tests/cases/node_backward.h"
#include "tests/cuda/harness.h"
#include "tests/kernels/bundle/joined_nodes.h"

using namespace drnas;
using namespace drnas::test;

namespace {

/// Of a sum over a tile: up to 8 of a chunk and as many pixels of a thread, five steps of a warp,
/// after up to 20 of a pool.
constexpr NodeMixRoundings most{0, 44, 44};

template <class T>
void check_as(const NodeBackwardCase& c) {
  const Results joined = OnDevice{}([&](auto&b) { return c.run<T>(b); }),
                alone = OnDevice{}([&](auto&b) { return c.bundle.backward<T>(b); }),
                fixed = OnDevice{}([&](auto&b) { return c.run<T>(b, false); });
  for (const auto& [name, values] : alone) {
    CAPTURE(name);
    CHECK(joined.at(name) == values);
    CHECK(fixed.at(name) == values);
  }
  NodeMixCase mix = c.mix;
  mix.dy = joined.at("dx");
  check_mix_gradients(mix, joined, most);
  CHECK(fixed.at("coefficients") == joined.at("coefficients"));
  CHECK(fixed.at("dtheta") == Doubles(mix.theta.size(), mix.dtheta_start));
}

void check(const NodeBackwardCase& c) {
  in_each_kind(c, [&]<class T>() { check_as<T>(c); });
}

}  // namespace

TEST_CASE("cuda: a node's backward pass with its mix's reductions, in fp32, tf32 and bf16") {
  auto rng = generator(401);
  const ConvBundle bundles[] = {
      make_bundle(2, 9, 9, 16, 1, 3, {1, 3}), make_bundle(1, 5, 35, 8, 1, 2, {3, 1}),
      make_bundle(3, 4, 5, 24, 1, 2, {3}),    make_bundle(2, 8, 8, 32, 1, 1, {1, 3}),
      make_bundle(1, 7, 6, 40, 1, 3, {1}),    make_bundle(1, 9, 8, 16, 1, 3, {1, 3}, {5, 2})};
  each_joined_node<NodeBackwardCase>(rng, bundles, 4, check);
}

TEST_CASE("cuda: a node's backward pass with the reductions of more tiles than a group adds up") {
  auto rng = generator(402);
  check(NodeBackwardCase(rng, make_bundle(290, 1, 2, 8, 1, 1, {1, 3}), 2, 1));
  check(NodeBackwardCase(rng, make_bundle(20, 5, 6, 64, 1, 1, {1, 3}), 4, 2));
}

TEST_CASE("cuda: a node's backward pass does not take the reductions of what it cannot run") {
  auto rng = generator(403);
  const auto joins = [&](const ConvBundle& b, int sources) {
    const NodeBackwardCase c(rng, b, 2, sources);
    Buffers<Device::cuda> buffers;
    const auto mix = c.mix.gradients<float, Device::cuda>(buffers, nullptr, true).mix;
    return kernels::node_backward_joins(b, mix);
  };
  CHECK(joins(make_bundle(1, 4, 4, 8, 1, 2, {1, 3}), 3));
  CHECK_FALSE(joins(make_bundle(1, 4, 4, 8, 1, 2, {1, 3}), 4));
  CHECK_FALSE(joins(make_bundle(1, 4, 4, 8, 2, 2, {1, 3}), 1));
  CHECK_FALSE(joins(make_bundle(1, 4, 4, 6, 1, 2, {1, 3}), 1));
  CHECK_FALSE(joins(make_bundle(1, 4, 4, 8, 1, 2, {}), 1));
}

#ifdef DRNAS_SIMT
TEST_CASE("cuda: a node's backward pass and its mix's reductions are one launch beside weights") {
  auto rng = generator(404);
  const NodeBackwardCase c(rng, make_bundle(2, 5, 6, 8, 1, 2, {1, 3}), 4, 2);
  CHECK(started(c) == 2);
}
#endif
