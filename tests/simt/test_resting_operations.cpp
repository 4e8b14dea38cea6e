// SPDX-License-Identifier: MIT
// Passes that run only operations whose mixing weight is not zero, as kernels of the GPU do them:
// the same bits as where all run, nothing read of what rests, and blocks that leave.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>

#include "check/meter.h"
#include "engine/stream.h"
#include "executor.h"
#include "nas/method/search_method.h"
#include "nas/space/search_space.h"
#include "nas/step/supernet_trainer.h"
#include "tests/nas/space/given_theta.h"
#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;

namespace {

constexpr int images = 2, side = 8;

struct Net {
  std::unique_ptr<Supernet> supernet;
  GivenTheta law;
  SupernetTrainer trainer;
  DeviceBatch batch;
  int edges, ops;
  std::vector<float> weights, statistics;

  explicit Net(const SupernetOptions& o)
      : supernet(make_supernet(o, 5, Device::cuda)),
        trainer(*supernet, law, nullptr, {.clip_with_alpha = false, .capture = false}),
        batch(images, side, Device::cuda),
        edges(theta_shape(*o.space).edges),
        ops(theta_shape(*o.space).operations),
        weights(download<float>(store().weights())),
        statistics(download<float>(store().statistics_buffer())) {
    auto rng = generator(60);
    const Doubles pixels = normals(rng, images * side * side * 3);
    batch.assign(std::vector<float>(pixels.begin(), pixels.end()), std::vector<std::int32_t>{0, 3});
  }
  const ParameterStore& store() const { return supernet->parameters(); }
  bool darts() const { return edges > 6; }

  /// Index in theta of the operation that a parameter or statistic belongs to; -1: to none.
  int theta_of(const std::string& name) const {
    int cell = 0, to = 0, from = 0, op = 0;
    if (std::sscanf(name.c_str(), "cells.%d.edges.%d<-%d.%d.", &cell, &to, &from, &op) == 4)
      return (to * (to - 1) / 2 + from) * ops + op;
    if (std::sscanf(name.c_str(), "cells.%d._ops.%d._ops.%d.", &cell, &to, &op) == 3)
      return (to + (cell > 0 ? 14 : 0)) * ops + op;  // the first cell is normal
    return -1;
  }
  /// Does a parameter or statistic belong to operations that all rest?
  bool rests(const NamedSlice& of, const Doubles& theta) const {
    const auto rest = [&](const std::string& name) {
      const int index = theta_of(name);
      return index >= 0 && theta[static_cast<std::size_t>(index)] == 0;
    };
    return rest(of.name) && std::all_of(of.aliases.begin(), of.aliases.end(), rest);
  }
  /// Weights of operations that rest become such that any result of theirs shows. Libraries
  /// multiply those of NAS-Bench-201 by zero.
  void spoil(const Doubles& theta) const {
    std::vector<float> spoilt = weights;
    for (const NamedSlice& p : store().parameters())
      if (rests(p, theta))
        std::fill_n(spoilt.begin() + p.offset, p.shape.elements(), darts() ? NAN : 3e38f);
    store().set_weights(spoilt);
  }
  PassOutcome run(const Doubles& theta, OperationsRun which, bool differentiate) {
    static const char* const names[2][3] = {{"all", "some", "gates"},
                                            {"all dtheta", "some dtheta", "gates dtheta"}};
    const PassSetting setting{.name = names[differentiate][static_cast<int>(which)],
                              .theta = PassTheta::given,
                              .weight_gradients = true,
                              .theta_gradient = differentiate,
                              .run = which};
    upload<float>(statistics, store().statistics_buffer());
    trainer.give_theta(theta);
    const double loss = trainer.run(setting, batch).loss;
    return {loss, download<double>(trainer.theta_gradient()), download<float>(store().gradients()),
            download<float>(store().statistics_buffer())};
  }
};

SupernetOptions options_of(const char* space, int parts, RawOutputs mode,
                           DType storage = DType::f32) {
  SupernetOptions o;
  o.space = &search_space(space);
  o.channels = o.space->facts().least_cells == 3 ? 4 : 8;
  o.cells = o.space->facts().least_cells;
  o.classes = 4;
  o.partial_channels = parts;
  o.raw_outputs = mode;
  o.storage = storage;
  return o;
}

const SupernetOptions every_kind[] = {
    options_of("nas-bench-201", 1, RawOutputs::store),
    options_of("nas-bench-201", 1, RawOutputs::store, DType::bf16),
    options_of("nas-bench-201", 2, RawOutputs::rebuild_1x1),
    options_of("nas-bench-201", 2, RawOutputs::store, DType::bf16),
    options_of("darts", 1, RawOutputs::store),
    options_of("darts", 2, RawOutputs::rebuild_1x1)};

/// One operation an edge; any number of them; none at all.
enum class Pattern { one, any, none };

Doubles mixing(std::mt19937_64& rng, const Net& net, Pattern pattern) {
  Doubles theta(static_cast<std::size_t>(net.edges) * net.ops);
  for (int e = 0; e < net.edges && pattern != Pattern::none; ++e) {
    const auto row = theta.begin() + std::ptrdiff_t{e} * net.ops;
    if (pattern == Pattern::one)
      row[static_cast<std::ptrdiff_t>(rng() % net.ops)] = 1;
    else
      for (int o = 0; o < net.ops; ++o) row[o] = rng() % 3 ? 0 : 0.25 + 0.125 * (rng() % 5);
  }
  return theta;
}

/// The same operation on every edge.
[[maybe_unused]] Doubles uniform(const Net& net, int operation) {
  Doubles theta(static_cast<std::size_t>(net.edges) * net.ops);
  for (int e = 0; e < net.edges; ++e) theta[static_cast<std::size_t>(e) * net.ops + operation] = 1;
  return theta;
}

void expect_same(const Net& net, const Doubles& theta, const PassOutcome& all,
                 const PassOutcome& some, bool differentiate) {
  CHECK(some.loss == all.loss);
  for (std::size_t i = 0; i < theta.size() && differentiate; ++i)
    if (theta[i] != 0) CHECK(some.dtheta[i] == all.dtheta[i]);
  CHECK(std::equal(some.gradients.begin(), some.gradients.end(), all.gradients.begin()));
  for (const NamedSlice& p : net.store().parameters())
    for (std::int64_t i = 0; i < p.shape.elements() && net.rests(p, theta); ++i)
      CHECK(some.gradients[static_cast<std::size_t>(p.offset + i)] == 0);
  for (const NamedSlice& s : net.store().statistics()) {
    const auto& expected = net.rests(s, theta) ? net.statistics : all.statistics;
    CAPTURE(s.name);
    CHECK(std::equal(some.statistics.begin() + s.offset,
                     some.statistics.begin() + s.offset + s.shape.elements(),
                     expected.begin() + s.offset));
  }
}

void expect_no_faults() {
  simt::check_device_memory();
  for (const std::string& fault : simt::take_faults()) FAIL_CHECK(fault);
}

}  // namespace

TEST_CASE("resting operations: results have the bits of all running, whatever rests and is there") {
  auto rng = generator(61);
  for (const SupernetOptions& o : every_kind) {
    Net net(o);
    CAPTURE(o.space->facts().name);
    CAPTURE(o.partial_channels);
    for (const Pattern pattern : {Pattern::one, Pattern::any, Pattern::none})
      for (const bool differentiate : {false, true}) {
        if (!differentiate && pattern != Pattern::any) continue;
        const Doubles theta = mixing(rng, net, pattern);
        net.store().set_weights(net.weights);
        const PassOutcome all = net.run(theta, OperationsRun::all, differentiate);
        net.spoil(theta);
        for (const OperationsRun which : {OperationsRun::weighted, OperationsRun::gates}) {
          if (which == OperationsRun::gates && !differentiate) continue;
          // Threads and blocks in other orders too.
          simt::set_order(which == OperationsRun::gates ? simt::Order{3, 2} : simt::Order{1, 1});
          expect_same(net, theta, all, net.run(theta, which, differentiate), differentiate);
          simt::set_order({});
        }
        expect_no_faults();
      }
  }
}

#ifdef DRNAS_SIMT_CHECK

namespace {

using simt::check::KernelCount;
using simt::check::KernelCounts;

KernelCounts counted(Net& net, const Doubles& theta, OperationsRun which) {
  simt::check::meter().start();
  net.run(theta, which, false);
  return simt::check::meter().stop();
}

}  // namespace

TEST_CASE("resting operations: blocks of separable convolutions leave") {
  // The first cell is normal, the others reduce; every filter has one tile an image, and four
  // channels of taps a block, of 4, and of 8 and 16 channels.
  constexpr int cells_of[] = {1, 2}, taps_of[] = {images, images * (2 + 4)},
                halves_of[] = {0, 0, 0, 2, 2, 1, 1}, cell_edges = 14;
  Net net(options_of("darts", 1, RawOutputs::store));
  auto rng = generator(62);
  for (const Doubles& theta : {mixing(rng, net, Pattern::one), mixing(rng, net, Pattern::none),
                               uniform(net, 3), uniform(net, 6)}) {
    std::int64_t filters = 0, running = 0, taps = 0;
    for (std::size_t i = 0; i < theta.size(); ++i) {
      const std::size_t kind = i / net.ops / cell_edges;
      const int halves = halves_of[i % net.ops];
      filters += cells_of[kind] * halves;
      if (theta[i] == 0) continue;
      running += cells_of[kind] * halves;
      taps += taps_of[kind] * halves;
    }
    const KernelCounts all = counted(net, theta, OperationsRun::all),
                       some = counted(net, theta, OperationsRun::weighted);
    CAPTURE(running);
    REQUIRE(filters == 252);
    // The first block of a filter that rests leaves statistics of zero.
    const auto working = [&](const KernelCounts& of, const char* kernel) {
      return of.at(kernel).working;
    };
    CHECK(working(all, "separable_forward::forward_kernel") == images * filters);
    CHECK(working(some, "separable_forward::forward_kernel") ==
          images * running + (filters - running));
    CHECK(working(all, "separable_backward::pointwise_kernel") == images * filters);
    CHECK(working(some, "separable_backward::pointwise_kernel") == images * running);
    CHECK(working(some, "separable_backward_device::taps_kernel") == taps);
    // Tiles of states stay where one of their filters runs, and some of the blocks that add up
    // gradients write zeros.
    CHECK(working(some, "separable_backward_input::input_kernel") <=
          working(all, "separable_backward_input::input_kernel") * 2 / 3);
    for (const auto& [kernel, count] : some) CHECK(count.launches == all.at(kernel).launches);
  }
  expect_no_faults();
}

TEST_CASE("resting operations: what kernels of NAS-Bench-201 leave out") {
  Net net(options_of("nas-bench-201", 1, RawOutputs::store));
  constexpr int cells = 3, edges = 6, sizes = 2, slices = 2;  // slices of an edge at the most
  for (const int operation : {0, 1, 2, 3, 4}) {
    const Doubles theta = uniform(net, operation);
    const KernelCounts all = counted(net, theta, OperationsRun::all),
                       some = counted(net, theta, OperationsRun::weighted);
    CAPTURE(operation);
    const bool convolves = operation == 2 || operation == 3;
    for (const char* kernel :
         {"bundle_tile_weights::weight_kernel", "node_mix_backward::reduce_kernel"}) {
      CAPTURE(kernel);
      CHECK(some.at(kernel).working == (convolves ? all.at(kernel).working : 0));
    }
    // Identities, pools and signs are still read, and gradients of weights are zero.
    const char* const gradient = "bundle_tile_gradient::gradient_kernel";
    const double read = static_cast<double>(some.at(gradient).bytes_read) /
                        static_cast<double>(all.at(gradient).bytes_read);
    CHECK(read <= (operation == 3 ? 0.9 : operation == 2 ? 0.25 : 0.1));
    // A block's slice holds one edge, and of each edge that rests the first block says so. Of what
    // runs z is half.
    const char* const forward = "bundle_tile_forward::forward_kernel";
    const KernelCount &own = some.at(forward), &every = all.at(forward);
    // Two of a cell's three nodes are made there too, the third one, of as many sources, by the
    // mix.
    const KernelCount& mix = some.at("node_mix_forward::forward_kernel");
    const auto nodes = 2 * mix.bytes_written;
    if (convolves) {
      CHECK(own.bytes_written - nodes <= (every.bytes_written - nodes) * 11 / 20);
    } else {
      CHECK(own.working <= slices * cells * edges);
      CHECK(own.bytes_read <= cells * edges * sizes * 8 + mix.bytes_read);
    }
    for (const auto& [kernel, count] : some) {
      CHECK(count.launches == all.at(kernel).launches);
      if (kernel != forward) CHECK(count.working <= all.at(kernel).working);
    }
  }
  expect_no_faults();
}

#endif
