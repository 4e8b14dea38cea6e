// SPDX-License-Identifier: MIT
// A node's mix and the bundle that reads it, in one launch: the node in float64, and the bundle's
// pass alone on the same node.
#include "tests/cases/node_forward.h"
#include "tests/cuda/harness.h"
#include "tests/kernels/bundle/joined_nodes.h"

using namespace drnas;
using namespace drnas::test;

namespace {

using Mode = ConvBundleCase::Mode;

template <class T>
void check_as(const NodeForwardCase& c) {
  for (const Mode mode : {Mode::training, Mode::evaluation}) {
    const Results joined = OnDevice{}([&](auto& b) { return c.run<T>(b, mode); });
    // As of the mix alone: 4 roundings a term and 14 more of the pool, then that of the storage.
    const int store = sizeof(T) == 2 ? 1 << 16 : 0;
    CHECK(roundings(joined.at("y"), MixReference{c.mix}.forward()) <=
          20.0 + store + 2 * static_cast<double>(c.mix.terms.size() + c.mix.sources.size()));
    ConvBundleCase bundle = c.bundle;
    bundle.x = joined.at("y");
    const Results alone = OnDevice{}([&](auto& b) { return bundle.forward<T>(b, mode); });
    for (const auto& [name, values] : alone) {
      CAPTURE(name);
      CHECK(joined.at(name) == values);
    }
  }
}

void check(const NodeForwardCase& c) {
  in_each_kind(c, [&]<class T>() { check_as<T>(c); });
}

}  // namespace

TEST_CASE("cuda: a node's mix with the bundle that reads it, in fp32, tf32 and bf16") {
  auto rng = generator(411);
  const ConvBundle bundles[] = {
      make_bundle(2, 9, 9, 16, 1, 3, {1, 3}), make_bundle(1, 5, 35, 8, 1, 2, {3, 1}),
      make_bundle(3, 4, 5, 24, 1, 2, {3}),    make_bundle(2, 8, 8, 32, 1, 3, {1, 3}),
      make_bundle(1, 7, 6, 40, 1, 3, {1}),    make_bundle(1, 9, 8, 16, 1, 3, {1, 3}, {5, 2}),
      make_bundle(1, 6, 11, 8, 1, 2, {1, 5})};
  each_joined_node<NodeForwardCase>(rng, bundles, 6, check);
}

TEST_CASE("cuda: a node's mix with a bundle of many channels and tiles") {
  auto rng = generator(412);
  check(NodeForwardCase(rng, make_bundle(37, 3, 5, 8, 1, 2, {1, 3}), 6, 3));
  check(NodeForwardCase(rng, make_bundle(1, 4, 5, 64, 1, 3, {1, 3}), 4, 2));
}

TEST_CASE("cuda: a node's mix runs apart where its bundle cannot take it") {
  auto rng = generator(413);
  const auto joins = [&](const ConvBundle& b, bool folded = false) {
    NodeForwardCase c(rng, b, 2, 1);
    c.mix.folded = folded;
    Buffers<Device::cuda> buffers;
    const auto mix = c.mix.description<float, Device::cuda>(buffers);
    return kernels::node_forward_joins(mix, b);
  };
  CHECK(joins(make_bundle(1, 4, 4, 8, 1, 2, {1, 3})));
  CHECK_FALSE(joins(make_bundle(1, 4, 4, 8, 1, 2, {1, 3}), true));
  CHECK_FALSE(joins(make_bundle(1, 4, 4, 8, 2, 2, {1, 3})));
  CHECK_FALSE(joins(make_bundle(1, 4, 4, 6, 1, 2, {1, 3})));
  CHECK_FALSE(joins(make_bundle(1, 4, 4, 8, 1, 2, {})));
}

#ifdef DRNAS_SIMT
TEST_CASE("cuda: a node's mix and its bundle are one launch") {
  auto rng = generator(414);
  const NodeForwardCase c(rng, make_bundle(2, 5, 6, 8, 1, 2, {1, 3}), 4, 2);
  CHECK(started(c) == 1);
}
#endif
