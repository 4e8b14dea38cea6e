// SPDX-License-Identifier: MIT
#include "nas/search/memory_plan.h"
#include "nas/space/nb201/nb201_space.h"
#include "nas/space/nb201/nb201_supernet.h"

#include "engine/memory/planning.h"
#include "tests/nas/space/pruned.h"
#include "tests/support/reference.h"
#include "tests/support/trainer.h"

using namespace drnas;
using namespace drnas::test;

namespace {

MemoryQuestion question(int channels, int cells, int parts, RawOutputs mode) {
  MemoryQuestion q;
  q.supernet = {channels, cells, 10, parts, mode};
  q.supernet.space = &nb201_space();
  q.batch_sizes = {6, 5};
  q.image_size = 16;
  return q;
}

/// A real network whose steps are run, with what the pool counted meanwhile.
struct Run {
  Nb201Supernet supernet;
  std::unique_ptr<SearchMethod> method;
  Trainer trainer;
  std::vector<DeviceBatch> batches;
  std::vector<double> losses;

  explicit Run(const MemoryQuestion& q)
      : supernet(q.supernet, 0, q.device),
        method(q.method->make({Nb201Supernet::edges, Nb201Supernet::ops, 0, q.device})),
        trainer(supernet, *method, q.trainer) {
    if (!q.supernet.kept.empty()) method->prune(q.supernet.kept);
    auto rng = generator(61);
    batches.reserve(q.batch_sizes.size());
    for (const int size : q.batch_sizes) {
      const Doubles pixels = normals(rng, size * q.image_size * q.image_size * 3);
      batches.emplace_back(std::vector<float>(pixels.begin(), pixels.end()),
                           std::vector<std::int32_t>(size, 1), q.image_size, q.device);
    }
    for (const DeviceBatch& batch : batches) {
      losses.push_back(trainer.architecture_step(batch).loss);
      losses.push_back(trainer.weight_step(batch, 0.025).loss);
      losses.push_back(trainer.evaluate(batch).loss);
    }
    if (!q.probes) return;
    const auto rows = method->law().sampled(trainer.draws());
    Doubles theta, gradient;
    for (const auto& row : rows) theta.insert(theta.end(), row.begin(), row.end());
    losses.push_back(trainer.probe(batches.front(), theta, &gradient));
    losses.push_back(trainer.probe(batches.front(), theta, nullptr));
  }
};

/// The plan, which allocates nothing, against what a run of it holds.
void check_plan(const MemoryQuestion& q) {
  Allocator& pool = Allocator::of(Device::cpu);
  const bool checks = pool.set_checks(false);
  const std::int64_t before = pool.counters().live;
  pool.reset_peak();
  const std::int64_t allocations = pool.counters().native_allocations;
  const MemoryCounters planned = plan_memory(q);
  CHECK(pool.counters().peak == before);
  CHECK(pool.counters().native_allocations == allocations);
  const Run run(q);
  CHECK(pool.counters().peak - before == planned.peak);
  for (int tag = 0; tag < memory_tag_count; ++tag)
    CHECK(pool.counters().by_tag_at_peak[tag] == planned.by_tag_at_peak[tag]);
  pool.set_checks(checks);
}

}  // namespace

TEST_CASE("memory plan: equals what a run holds at its peak, to the byte and by tag") {
  for (const RawOutputs mode : {RawOutputs::store, RawOutputs::rebuild_1x1, RawOutputs::rebuild})
    for (const int parts : {1, 4}) {
      CAPTURE(to_string(mode));
      CAPTURE(parts);
      check_plan(question(8, 2, parts, mode));
    }
}

TEST_CASE("memory plan: the passes of a Hessian are part of it") {
  for (const RawOutputs mode : {RawOutputs::store, RawOutputs::rebuild}) {
    MemoryQuestion q = question(8, 1, 2, mode);
    q.probes = true;
    check_plan(q);
  }
}

TEST_CASE("memory plan: of pruned networks too, which need less and less") {
  constexpr int edges = Nb201Supernet::edges, ops = Nb201Supernet::ops;
  auto rng = generator(62);
  for (const RawOutputs mode : {RawOutputs::store, RawOutputs::rebuild_1x1, RawOutputs::rebuild})
    for (const int parts : {1, 4}) {
      CAPTURE(to_string(mode));
      CAPTURE(parts);
      MemoryQuestion q = question(8, 1, parts, mode);
      q.supernet.kept = random_kept(rng, edges, ops);
      check_plan(q);
      std::int64_t last = plan_memory(question(8, 1, parts, mode)).peak;
      for (const std::vector<int>& of_edge : {std::vector{0, 1, 3, 4}, {0, 1, 2}, {1, 4}}) {
        q.supernet.kept = kept_everywhere(edges, ops, of_edge);
        check_plan(q);
        const std::int64_t bytes = plan_memory(q).peak;
        CHECK(bytes < last);
        last = bytes;
      }
    }
}

TEST_CASE("memory plan: the modes need less and less, and change no result") {
  std::vector<double> losses;
  std::int64_t last = std::numeric_limits<std::int64_t>::max();
  for (const RawOutputs mode : {RawOutputs::store, RawOutputs::rebuild_1x1, RawOutputs::rebuild}) {
    const MemoryQuestion q = question(8, 2, 2, mode);
    const std::int64_t bytes = plan_memory(q).peak;
    CHECK(bytes < last);
    last = bytes;
    const Run run(q);
    if (losses.empty()) losses = run.losses;
    CHECK(run.losses == losses);
  }
}

TEST_CASE("memory plan: auto takes the first mode that fits the limit") {
  const auto bytes = [](RawOutputs mode) { return plan_memory(question(8, 2, 1, mode)).peak; };
  const MemoryQuestion q = question(8, 2, 1, RawOutputs::store);
  const std::int64_t store = bytes(RawOutputs::store), some = bytes(RawOutputs::rebuild_1x1),
                     least = bytes(RawOutputs::rebuild);
  CHECK(choose_raw_outputs("auto", q, 0) == RawOutputs::rebuild_1x1);
  CHECK(choose_raw_outputs("auto", q, store) == RawOutputs::store);
  CHECK(choose_raw_outputs("auto", q, store - 1) == RawOutputs::rebuild_1x1);
  CHECK(choose_raw_outputs("auto", q, some - 1) == RawOutputs::rebuild);
  CHECK(choose_raw_outputs("rebuild", q, store) == RawOutputs::rebuild);
  CHECK_THROWS_AS(choose_raw_outputs("auto", q, least - 1), Error);
  CHECK_THROWS_AS(choose_raw_outputs("store", q, store - 1), Error);
}

TEST_CASE("memory plan: the table has a row for each mode and each K that divides C") {
  const std::string table = memory_table(question(4, 1, 1, RawOutputs::store));
  CHECK(std::count(table.begin(), table.end(), '\n') == 2 + 3 * 3);
  CHECK(table.find("activations") != std::string::npos);
}

TEST_CASE("memory plan: of networks larger than any machine's memory") {
  MemoryQuestion q = question(1024, 100, 1, RawOutputs::store);
  q.batch_sizes = {16384};
  CHECK(plan_memory(q).peak > std::int64_t{1} << 40);
}

TEST_CASE("planning: twice on one thread is refused, afterwards everything is as before") {
  {
    const Planning planning(Device::cpu);
    CHECK(drnas::planning());
    CHECK_THROWS_AS(Planning again(Device::cpu), Error);
  }
  CHECK(!drnas::planning());
  const Tensor ones = Tensor::zeros({1, 1, 1, 4}, MemoryTag::data);
  CHECK(ones.data()[3] == 0.0f);
}
