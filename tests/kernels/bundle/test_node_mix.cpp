// SPDX-License-Identifier: MIT
#include "tests/kernels/bundle/node_mix_checks.h"

using namespace drnas;
using namespace drnas::test;
using kernels::NodeMix;

namespace {

/// Offset and weights take 4 roundings a term, the pool 8 more. Float32 along a row (and over the
/// channels of one, where a weight has no channel), float64 from there on.
void check(const NodeMixCase& c) {
  check_node_mix(OnCpu{}, c, {14, 12.0 + c.g.w + c.g.c, 8.0 + c.g.w});
}

}  // namespace

TEST_CASE("node mix: forward and backward against float64") {
  auto rng = generator(51);
  for (const int parts : {1, 2, 4, 8})
    for (const int channels : {2, 3, 4, 6, 8, 16})
      for (int trial = 0; trial < 4; ++trial) {
        const Images g{pick(rng, {1, 2, 3, 5}), pick(rng, {1, 2, 3, 5, 7}),
                       pick(rng, {1, 2, 3, 5, 8, 9}), channels, channels * parts};
        check(NodeMixCase(rng, g, static_cast<int>(rng() % 5), 1 + static_cast<int>(rng() % 3)));
      }
}

TEST_CASE("node mix: the extreme shapes") {
  auto rng = generator(52);
  for (const Images& g :
       {Images{1, 1, 1, 3, 3}, Images{1, 1, 1, 8, 16}, Images{2, 1, 9, 4, 8}, Images{3, 9, 1, 6, 6},
        Images{5, 13, 13, 1, 4}, Images{2, 3, 3, 48, 48}}) {
    check(NodeMixCase(rng, g, 0, 1));
    check(NodeMixCase(rng, g, NodeMix::max_terms, NodeMix::max_sources));
  }
}

TEST_CASE("node mix: repeats bit by bit with any thread count") {
  auto rng = generator(53);
  for (const Images& g : {Images{5, 7, 9, 16, 64}, Images{3, 8, 8, 8, 8}, Images{1, 5, 5, 3, 6}}) {
    const NodeMixCase c(rng, g, 4, 2);
    const auto with = [&](int count) {
      const Threads threads(count);
      return std::pair(OnCpu{}([&](auto& b) { return c.forward(b); }),
                       OnCpu{}([&](auto& b) { return c.backward(b); }));
    };
    const auto one = with(1);
    for (int threads = 1; threads <= 3; ++threads) CHECK(with(threads) == one);
  }
}

TEST_CASE("node mix: a cell's edges that share raw outputs and a source") {
  auto rng = generator(54);
  NodeMixCase c(rng, {2, 5, 6, 4, 8}, 6, 3);
  c.leave_one_node();
  for (MixSource& source : c.sources) source.x = c.sources[0].x;
  check(c);
}
