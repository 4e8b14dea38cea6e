// SPDX-License-Identifier: MIT
// Node mixes: CUDA kernels against float64 and against the CPU twins.
#include "tests/cuda/harness.h"
#include "tests/kernels/bundle/node_mix_checks.h"

using namespace drnas;
using namespace drnas::test;
using kernels::NodeMix;

namespace {

/// Sums in float32: of at most 16 numbers a thread, five steps of a warp or 16 threads; each of
/// them from up to 12 roundings.
constexpr int sum_roundings = 12 + 16 + 16;

/// Offset and weights take 4 roundings a term, the pool 14 more; a rounding to bfloat16 is worth
/// 2^16 of float32.
template <class T = float>
void check(const NodeMixCase& c) {
  const int store = sizeof(T) == 2 ? 1 << 16 : 0;
  check_node_mix<T>(OnDevice{}, c, {20.0 + store, sum_roundings, sum_roundings});
}

}  // namespace

TEST_CASE("cuda: node mix against float64") {
  auto rng = generator(71);
  for (const int parts : {1, 2, 3, 4, 8})
    for (const int channels : {1, 2, 3, 4, 6, 9, 12, 16, 18}) {
      const Images g{pick(rng, {1, 2, 3}), pick(rng, {1, 2, 3, 5, 7}), pick(rng, {1, 2, 3, 5, 8}),
                     channels, channels * parts};
      check(NodeMixCase(rng, g, static_cast<int>(rng() % 7), 1 + static_cast<int>(rng() % 3)));
    }
}

TEST_CASE("cuda: node mix of many terms, many channels, large and small images") {
  auto rng = generator(72);
  for (const Images& g :
       {Images{1, 1, 1, 3, 3}, Images{1, 1, 1, 8, 16}, Images{1, 9, 35, 4, 8},
        Images{1, 17, 32, 16, 16}, Images{2, 8, 8, 64, 64}, Images{1, 3, 5, 36, 72},
        Images{1, 5, 4, 37, 37}, Images{1, 8, 67, 2, 4}, Images{1, 4, 32, 32, 64}}) {
    check(NodeMixCase(rng, g, 3, 2));
    if (g.pixels() * g.c < 1000)
      check(NodeMixCase(rng, g, NodeMix::max_terms, NodeMix::max_sources));
    check(NodeMixCase(rng, g, 0, 1));
    check(NodeMixCase(rng, g, 1, 0));
  }
}

TEST_CASE("cuda: node mix with more tiles than blocks, and weights that terms share") {
  auto rng = generator(73);
  check(NodeMixCase(rng, {300, 2, 1, 3, 6}, 3, 1));
  check(NodeMixCase(rng, {270, 1, 3, 4, 4}, 5, 2, true));
  check(NodeMixCase(rng, {40, 1, 2, 70, 140}, 3, 2, true));
}

TEST_CASE("cuda: node mix of shuffled channels in several tiles, chunks and many parts") {
  auto rng = generator(75);
  for (const Images& g :
       {Images{1, 19, 35, 4, 16}, Images{2, 9, 9, 8, 64}, Images{1, 5, 3, 40, 120},
        Images{1, 3, 4, 5, 100}, Images{2, 4, 5, 8, 256}, Images{1, 2, 2, 1, 40}}) {
    check(NodeMixCase(rng, g, 3, 2, false, true));
    check<bfloat16>(NodeMixCase(rng, g, 3, 2, false, true));
  }
}

TEST_CASE_TEMPLATE("cuda: node mix of nodes whose parts lie apart", T, float, bfloat16) {
  auto rng = generator(79);
  for (const int parts : {2, 3, 4, 8})
    for (const int channels : {1, 2, 4, 6, 8, 40}) {
      NodeMixCase c(rng, {2, 3, 5, channels, channels * parts}, 3, 2, false, true);
      const Results y = OnDeviceOnce{}([&](auto&b) { return c.forward<T>(b); }),
                    got = OnDeviceOnce{}([&](auto&b) { return c.backward<T>(b); });
      c.apart = true;
      CAPTURE(parts);
      CAPTURE(channels);
      CHECK(OnDevice{}([&](auto& b) { return c.forward<T>(b); }).at("y") ==
            laid_apart(y.at("y"), channels, c.g.channels));
      CHECK(OnDevice{}([&](auto& b) { return c.backward<T>(b); }) == got);
    }
}

TEST_CASE_TEMPLATE("cuda: node mix of folded terms is that of terms with weight and scale one", T,
                   float, bfloat16) {
  auto rng = generator(80);
  for (const int parts : {1, 4}) {
    NodeMixCase c(rng, {2, 3, 5, 8, 8 * parts}, 3, 2, false, true);
    for (MixTerm& term : c.terms) {
      term.inv_std.assign(term.inv_std.size(), 1.0);
      c.theta[term.theta] = 1;
    }
    const Results one = OnDeviceOnce{}([&](auto& b) { return c.forward<T>(b); });
    c.folded = true;
    CHECK(OnDevice{}([&](auto& b) { return c.forward<T>(b); }) == one);
  }
}

#ifdef DRNAS_SIMT
TEST_CASE("cuda: node mixes start one kernel a direction") {
  auto rng = generator(76);
  for (const int parts : {1, 4}) {
    const NodeMixCase c(rng, {2, 5, 6, 8, 8 * parts}, 4, 2);
    const auto started = [](const auto& place) {
      Buffers<Device::cuda> buffers;
      const Call call = place(buffers);
      const std::int64_t before = simt::counts().kernels;
      call.run(nullptr);
      return simt::counts().kernels - before;
    };
    CHECK(started([&](auto& b) { return c.forward(b); }) == 1);
    CHECK(started([&](auto& b) { return c.backward(b); }) == 1);
    CHECK(started([&](auto& b) { return c.backward(b, false); }) == 1);
  }
}
#endif

TEST_CASE("cuda: node mixes replay from a graph") {
  auto rng = generator(77);
  const NodeMixCase c(rng, {40, 3, 2, 8, 32}, 4, 2);
  check_replay([&](auto& of) { return c.forward(of); });
}

TEST_CASE("cuda: node mixes of more parts than a block can shuffle are refused") {
  auto rng = generator(78);
  const NodeMixCase c(rng, {1, 1, 1, 1, 12300}, 1, 1);
  Buffers<Device::cuda> buffers;
  CHECK_THROWS_WITH_AS(c.forward(buffers).run(nullptr),
                       "node_mix: a node in 12300 parts, more than fit a block's shared memory",
                       drnas::Error);
}

TEST_CASE("cuda: node mix of bfloat16 against float64 and the float32 twin") {
  auto rng = generator(74);
  for (const int parts : {1, 2, 4})
    for (const int channels : {1, 2, 3, 4, 6, 8, 16, 18, 40}) {
      const Images g{pick(rng, {1, 2}), pick(rng, {1, 3, 5, 7}), pick(rng, {1, 2, 5, 8}), channels,
                     channels * parts};
      const NodeMixCase c(rng, g, static_cast<int>(rng() % 5), 1 + static_cast<int>(rng() % 3),
                          false, true);
      check<bfloat16>(c);
      // Half a unit in the last of eight binary places, and what float32 loses.
      const Results y = OnDevice{}([&](auto& b) { return c.forward<bfloat16>(b); });
      const Results twin = OnCpu{}([&](auto& b) { return c.forward(b); });
      CHECK(max_error(y.at("y"), twin.at("y")) <= 0x1p-8 + 0x1p-18);
      const Results got = OnDevice{}([&](auto& b) { return c.backward<bfloat16>(b); });
      for (const auto& [name, values] : OnCpu{}([&](auto& b) { return c.backward(b); }))
        CHECK(max_error(got.at(name), values) <= 1e-5);
    }
}
