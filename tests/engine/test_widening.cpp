// SPDX-License-Identifier: MIT
// A wider network copies the narrower one: U = W[g(o), h(i)], for weights, momentum and statistics.
#include "engine/parameters/widening.h"

#include <map>

#include "kernels/layers/conv2d.h"
#include "kernels/planes/conv1x1_planes.h"
#include "kernels/planes/separable.h"
#include "nas/space/darts/darts_space.h"
#include "nas/space/nb201/nb201_space.h"
#include "nas/space/nb201/nb201_supernet.h"
#include "tests/nas/space/pruned.h"
#include "tests/support/option_files.h"
#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;
using test_files::check_fails;

namespace {

constexpr std::uint64_t seed = 5;
constexpr std::uint32_t stage = 2;

struct Net {
  const SearchSpace* space;
  bool imagenet = false;
};
const Net nb201{&nb201_space()}, darts{&darts_space()}, imagenet{&darts_space(), true};

SupernetOptions options_of(const Net& net, int parts) {
  SupernetOptions o;
  o.space = net.space;
  o.imagenet_stem = net.imagenet;
  o.channels = 8;
  o.cells = net.space->facts().least_cells;
  o.partial_channels = parts;
  return o;
}

void fill(std::mt19937_64& rng, const Tensor& t) {
  const Doubles values = normals(rng, t.elements());
  std::copy(values.begin(), values.end(), t.data());
}

/// A narrow network of random contents, and the wide one that it becomes.
struct Pair {
  std::unique_ptr<Supernet> narrow, wide;

  Pair(const Net& net, std::vector<std::uint8_t> kept) {
    auto rng = generator(81);
    narrow = make_supernet(options_of(net, 4), 1);
    for (const Tensor* t : {&narrow->parameters().weights(), &narrow->parameters().velocity(),
                            &narrow->parameters().statistics_buffer()})
      fill(rng, *t);
    SupernetOptions o = options_of(net, 2);
    o.kept = std::move(kept);
    wide = make_supernet(o, 2);
    widen(StoredParameters(narrow->parameters()), wide->parameters(), seed, stage);
  }
};

const NamedSlice& slice_of(const std::vector<NamedSlice>& slices, const std::string& name) {
  for (const NamedSlice& s : slices) {
    if (s.name == name) return s;
    for (const std::string& alias : s.aliases)
      if (alias == name) return s;
  }
  throw Error("no slice " + name);
}

/// Every value of every slice against the maps.
void check_slices(const std::vector<NamedSlice>& narrow, const Tensor& from,
                  const std::vector<NamedSlice>& wide, const Tensor& to, int& grown) {
  for (const NamedSlice& u : wide) {
    CAPTURE(u.name);
    const NamedSlice& w = slice_of(narrow, u.name);
    const bool row = u.shape.n == 1;
    const auto g = widening_map(row ? "" : u.axes.out, w.shape.n, u.shape.n, seed, stage);
    const auto h = widening_map(row ? u.axes.out : u.axes.in, w.shape.c, u.shape.c, seed, stage);
    grown += !(w.shape == u.shape);
    const std::int64_t taps = u.shape.h * u.shape.w;
    bool same = true;
    for (std::int64_t o = 0; o < u.shape.n; ++o)
      for (std::int64_t t = 0; t < taps; ++t)
        for (std::int64_t i = 0; i < u.shape.c; ++i)
          same = same && to.data()[u.offset + (o * taps + t) * u.shape.c + i] ==
                             from.data()[w.offset + (g[o] * taps + t) * w.shape.c + h[i]];
    CHECK(same);
  }
}

/// Sums the channels of x [channels, pixels] that one old channel feeds.
Doubles folded(const Doubles& x, const std::vector<std::int32_t>& map, int before, int pixels) {
  Doubles sums(static_cast<std::size_t>(before) * pixels, 0.0);
  for (std::size_t i = 0; i < map.size(); ++i)
    for (int p = 0; p < pixels; ++p) sums[map[i] * pixels + p] += x[i * pixels + p];
  return sums;
}

/// The channels of z that the new ones copy.
Doubles gathered(const Doubles& z, const std::vector<std::int32_t>& map, int pixels) {
  Doubles out;
  for (const std::int32_t from : map)
    out.insert(out.end(), z.begin() + std::ptrdiff_t{from} * pixels,
               z.begin() + std::ptrdiff_t{from + 1} * pixels);
  return out;
}

Doubles positive(std::mt19937_64& rng, std::int64_t count) {
  Doubles x = normals(rng, count);
  for (double& v : x) v = static_cast<float>(std::abs(v));
  return x;
}

constexpr int side = 6, pixels = side * side;

/// One half of a separable convolution on one image; weights from a network.
Doubles run_half(const Supernet& net, const std::string& depthwise, const std::string& pointwise,
                 const Doubles& x, int dilation) {
  const ParameterStore& store = net.parameters();
  const NamedSlice &d = slice_of(store.parameters(), depthwise),
                   &p = slice_of(store.parameters(), pointwise);
  Guarded input(x), z(p.shape.n * pixels), mean(p.shape.n), inv_std(p.shape.n);
  kernels::SeparableForward f{};
  f.shape = {1, static_cast<int>(d.shape.n), side, side, static_cast<int>(p.shape.n), 1, 1};
  f.filter[0] = {static_cast<int>(d.shape.h),
                 dilation,
                 {{input.data(), static_cast<std::int64_t>(x.size())}},
                 store.weights().data() + d.offset,
                 store.weights().data() + p.offset};
  f.z[0] = {z.data(), p.shape.n * pixels};
  f.statistics[0] = {mean.data(), inv_std.data(), nullptr, nullptr};
  std::vector<std::byte> scratch(kernels::separable_forward_workspace<Device::cpu>(f.shape) + 256);
  void* aligned = scratch.data() + (256 - reinterpret_cast<std::uintptr_t>(scratch.data()) % 256);
  kernels::separable_forward<Device::cpu>(f, aligned, nullptr);
  return z.doubles();
}

}  // namespace

TEST_CASE(
    "widening: every slice of both spaces is U = W[g(o), h(i)], momentum and statistics too") {
  for (const Net& net : {nb201, darts, imagenet}) {
    auto rng = generator(82);
    const auto [edges, operations] = theta_shape(*net.space);
    for (const bool pruned : {false, true}) {
      const Pair pair(net, pruned ? random_kept(rng, edges, operations) : Kept{});
      const ParameterStore &narrow = pair.narrow->parameters(), &wide = pair.wide->parameters();
      int grown = 0;
      check_slices(narrow.parameters(), narrow.weights(), wide.parameters(), wide.weights(), grown);
      check_slices(narrow.parameters(), narrow.velocity(), wide.parameters(), wide.velocity(),
                   grown);
      check_slices(narrow.statistics(), narrow.statistics_buffer(), wide.statistics(),
                   wide.statistics_buffer(), grown);
      CHECK(grown > 0);
    }
  }
}

TEST_CASE("widening: old channels stay, new ones copy old ones that seed, stage and name choose") {
  const auto map = widening_map("cells.0.edges.1<-0.3.out", 4, 64, seed, stage);
  for (int i = 0; i < 4; ++i) CHECK(map[i] == i);
  std::map<int, int> used;
  for (std::size_t i = 4; i < map.size(); ++i) ++used[map[i]];
  for (int i = 0; i < 4; ++i) CHECK(used[i] > 0);  // fails once in (3/4)^60
  CHECK(used.size() == 4);
  CHECK(map == widening_map("cells.0.edges.1<-0.3.out", 4, 64, seed, stage));
  CHECK(map != widening_map("cells.0.edges.1<-0.3.in", 4, 64, seed, stage));
  CHECK(map != widening_map("cells.0.edges.1<-0.3.out", 4, 64, seed + 1, stage));
  CHECK(map != widening_map("cells.0.edges.1<-0.3.out", 4, 64, seed, stage + 1));
  const auto halves = widening_map("a|b", 4, 8, seed, stage);
  const auto a = widening_map("a", 2, 4, seed, stage), b = widening_map("b", 2, 4, seed, stage);
  for (int i = 0; i < 4; ++i) {
    CHECK(halves[i] == a[i]);
    CHECK(halves[4 + i] == 2 + b[i]);
  }
  check_fails([] { widening_map("x", 4, 2, seed, stage); }, {"x", "shrinks", "4", "2"});
}

TEST_CASE(
    "widening: a convolution of the wider network sees its inputs as the old one their sums") {
  auto rng = generator(83);
  const Pair pair(nb201, {});
  for (const char* op : {"cells.0.edges.2<-1.2", "cells.0.edges.3<-0.3", "cells.4.edges.1<-0.3"}) {
    CAPTURE(op);
    const std::string name = std::string(op) + ".op.1.weight";
    const auto run = [&](const Supernet& net, const Doubles& nchw) {
      const ParameterStore& store = net.parameters();
      const NamedSlice& w = slice_of(store.parameters(), name);
      const int c = static_cast<int>(w.shape.c), k = static_cast<int>(w.shape.h);
      Guarded x(static_cast<std::int64_t>(nchw.size())), y(w.shape.n * pixels);
      for (int i = 0; i < c; ++i)
        for (int p = 0; p < pixels; ++p) x[p * c + i] = static_cast<float>(nchw[i * pixels + p]);
      const kernels::Conv2d conv{1, side, side, c, static_cast<int>(w.shape.n), k, 1, k / 2};
      std::vector<std::byte> scratch(
          kernels::conv2d_workspace<Device::cpu>(conv, kernels::ConvPass::forward) + 256);
      void* aligned =
          scratch.data() + (256 - reinterpret_cast<std::uintptr_t>(scratch.data()) % 256);
      kernels::conv2d_forward<Device::cpu>(conv, x, store.weights().data() + w.offset, y, aligned,
                                           nullptr);
      Doubles out(static_cast<std::size_t>(w.shape.n) * pixels);
      for (std::int64_t o = 0; o < w.shape.n; ++o)
        for (int p = 0; p < pixels; ++p) out[o * pixels + p] = y[p * w.shape.n + o];
      return out;
    };
    const NamedSlice &w = slice_of(pair.narrow->parameters().parameters(), name),
                     &u = slice_of(pair.wide->parameters().parameters(), name);
    const auto g = widening_map(u.axes.out, w.shape.n, u.shape.n, seed, stage),
               h = widening_map(u.axes.in, w.shape.c, u.shape.c, seed, stage);
    const Doubles x = positive(rng, u.shape.c * pixels);
    const Doubles expected =
        gathered(run(*pair.narrow, folded(x, h, static_cast<int>(w.shape.c), pixels)), g, pixels);
    CHECK(max_error(run(*pair.wide, x), expected) <
          sum_tolerance(static_cast<double>(w.shape.h * w.shape.h * u.shape.c)));
  }
}

TEST_CASE("widening: both halves of separable convolutions do so as well") {
  auto rng = generator(84);
  const Pair pair(darts, {});
  const auto shape_of = [](const Supernet& net, const std::string& name) -> const NamedSlice& {
    return slice_of(net.parameters().parameters(), name);
  };
  for (int op = 3; op < 7; ++op)
    for (const int at : {1, 5}) {
      if (at == 5 && op > 4) continue;  // dilated ones have one half
      const std::string name = "cells.0._ops.3._ops." + std::to_string(op) + ".op.",
                        depthwise = name + std::to_string(at) + ".weight",
                        pointwise = name + std::to_string(at + 1) + ".weight";
      CAPTURE(depthwise);
      const NamedSlice &w = shape_of(*pair.narrow, pointwise), &u = shape_of(*pair.wide, pointwise);
      const auto g = widening_map(u.axes.out, w.shape.n, u.shape.n, seed, stage),
                 h = widening_map(u.axes.in, w.shape.c, u.shape.c, seed, stage);
      // The depthwise filter belongs to the channel that the 1x1 convolution reads.
      CHECK(shape_of(*pair.wide, depthwise).axes.out == u.axes.in);
      const Doubles x = positive(rng, u.shape.c * pixels);
      const int dilation = op > 4 ? 2 : 1;
      const Doubles expected =
          gathered(run_half(*pair.narrow, depthwise, pointwise,
                            folded(x, h, static_cast<int>(w.shape.c), pixels), dilation),
                   g, pixels);
      CHECK(max_error(run_half(*pair.wide, depthwise, pointwise, x, dilation), expected) <
            sum_tolerance(25.0 * static_cast<double>(u.shape.c)));
    }
}

TEST_CASE("widening: both halves of a factorised reduction do so as well") {
  auto rng = generator(85);
  const Pair pair(darts, {});
  const std::string name = "cells.1._ops.0._ops.2.conv_";
  const auto run = [&](const Supernet& net, const Doubles& x) {
    const ParameterStore& store = net.parameters();
    const NamedSlice& w = slice_of(store.parameters(), name + "1.weight");
    const int half = static_cast<int>(w.shape.n), c = static_cast<int>(w.shape.c);
    Guarded input(x), z(std::int64_t{2} * half * pixels / 4);
    kernels::Conv1x1Forward f{};
    f.shape = {1, c, side, side, true, 2, 2, {half, half}, {0, 1}};
    f.x = {input.data(), static_cast<std::int64_t>(x.size())};
    for (int k = 0; k < 2; ++k) {
      const std::string weight = name + std::to_string(k + 1) + ".weight";
      f.weight[k] = store.weights().data() + slice_of(store.parameters(), weight).offset;
      f.y[k] = {z.data() + std::int64_t{k} * half * pixels / 4,
                std::int64_t{2} * half * pixels / 4};
    }
    std::vector<std::byte> scratch(kernels::conv1x1_forward_workspace<Device::cpu>(f.shape) + 256);
    void* aligned = scratch.data() + (256 - reinterpret_cast<std::uintptr_t>(scratch.data()) % 256);
    kernels::conv1x1_forward<Device::cpu>(f, aligned, nullptr);
    return z.doubles();
  };
  const NamedSlice& statistic =
      slice_of(pair.wide->parameters().statistics(), "cells.1._ops.0._ops.2.bn.running_mean");
  const NamedSlice &w = slice_of(pair.narrow->parameters().parameters(), name + "1.weight"),
                   &u = slice_of(pair.wide->parameters().parameters(), name + "1.weight");
  const auto g = widening_map(statistic.axes.out, 2 * w.shape.n, 2 * u.shape.n, seed, stage),
             h = widening_map(u.axes.in, w.shape.c, u.shape.c, seed, stage);
  const Doubles x = positive(rng, u.shape.c * pixels);
  const Doubles expected =
      gathered(run(*pair.narrow, folded(x, h, static_cast<int>(w.shape.c), pixels)), g, pixels / 4);
  CHECK(max_error(run(*pair.wide, x), expected) < sum_tolerance(static_cast<double>(u.shape.c)));
}

TEST_CASE("widening: networks that do not fit each other are refused by name") {
  const auto narrow = make_supernet(options_of(nb201, 4), 1);
  const StoredParameters stored(narrow->parameters());
  SupernetOptions deeper = options_of(nb201, 2);
  deeper.cells = 2;
  check_fails([&] { widen(stored, make_supernet(deeper, 1)->parameters(), seed, stage); },
              {"widening", "cells"});
  SupernetOptions classes = options_of(nb201, 2);
  classes.classes = 11;
  check_fails([&] { widen(stored, make_supernet(classes, 1)->parameters(), seed, stage); },
              {"classifier.weight", "10", "11"});
}
