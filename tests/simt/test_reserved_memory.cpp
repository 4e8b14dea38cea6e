// SPDX-License-Identifier: MIT
// What the pool takes of a card, beside what was planned.
#include <cuda_runtime.h>

#include "executor.h"
#include "fenced_pool.h"
#include "nas/search/memory_plan.h"
#include "nas/search/search_inputs.h"
#include "nas/space/search_space.h"
#include "tests/nas/search/search_runs.h"

using namespace drnas;
using namespace drnas::test;

namespace {

Allocator& pool() { return Allocator::of(Device::cuda); }

/// No checks, which take room; everything that earlier tests left is given back.
struct PlainPool {
  simt::PoolAsOnGpu as_on_gpu;
  bool checks = pool().set_checks(false);

  PlainPool() { pool().trim(); }
  ~PlainPool() {
    pool().trim();
    pool().set_checks(checks);
    simt::set_card({});
  }
};

MemoryQuestion published(const char* space, DType storage, int parts) {
  MemoryQuestion q;
  q.device = Device::cuda;
  q.supernet.space = &search_space(space);
  q.supernet.storage = storage;
  q.supernet.partial_channels = parts;
  q.supernet.raw_outputs = RawOutputs::store;
  q.probes = true;
  return q;
}

SearchOptions two_stages(const fs::path& out) {
  SearchOptions o = small_search(out);
  o.channels = 16;
  o.cells = 1;
  o.partial_channels = {2, 1};
  o.keep_ops = {5, 1};
  o.stage_epochs = {1, 1};
  o.epochs = 2;
  o.alpha_start_epoch = 0;
  o.batch_size = 32;
  o.limit_train = 64;
  o.precision = "fp32";
  o.raw_outputs = "store";
  return o;
}

/// Most bytes of the card at any step, stage by stage.
struct Watch : SearchObserver {
  std::vector<std::size_t> most{0};

  void on_message(const std::string& line) override {
    if (line.find("stage 2: K") == 0) most.push_back(0);
  }
  void on_step(const StepProgress&) override {
    most.back() = std::max(most.back(), simt::device_bytes());
  }
};

}  // namespace

TEST_CASE("reserved memory: arenas of published searches are close to the planned peak") {
  std::vector<MemoryQuestion> questions;
  for (const int parts : {1, 2, 4, 8})
    for (const DType storage : {DType::f32, DType::bf16})
      questions.push_back(published("nas-bench-201", storage, parts));
  for (const int parts : {1, 4}) {
    questions.push_back(published("darts", DType::f32, parts));
    questions.back().supernet.cells = 8;
  }
  for (const MemoryQuestion& q : questions) {
    CAPTURE(q.supernet.partial_channels);
    const MemoryCounters planned = plan_memory(q);
    const auto arenas = static_cast<double>(planned.extents.ordinary + planned.extents.captured);
    MESSAGE(std::string(q.supernet.space->facts().name), ", K ", q.supernet.partial_channels,
            ": arenas take ", arenas / static_cast<double>(planned.peak), " of the peak");
    CHECK(arenas >= static_cast<double>(planned.peak));
    CHECK(arenas <= 1.05 * static_cast<double>(planned.peak));
  }
}

TEST_CASE("reserved memory: a search takes two arenas, within a tenth of its planned peak") {
  const PlainPool plain;
  const ScratchFolder scratch;
  SearchOptions o = two_stages(scratch / "one");
  o.partial_channels = {1};
  o.keep_ops = {};
  o.stage_epochs = {};
  o.batch_size = 4;
  o.limit_train = 10;  // the last batch is smaller
  const SearchMemory planned = SearchInputs(o, false).plan(o, Device::cuda);
  const std::int64_t before = pool().counters().native_allocations;
  const auto others = static_cast<std::int64_t>(simt::device_bytes());
  Watch watch;
  catch_stop_signals();
  run_search(o, watch);
  CHECK(pool().counters().peak == planned.peak_bytes);
  CHECK(pool().counters().native_allocations - before == 2);
  // Each arena is rounded up to a multiple of 2 MiB.
  const auto taken = static_cast<std::int64_t>(watch.most[0]) - others;
  CHECK(taken >= planned.peak_bytes);
  CHECK(static_cast<double>(taken - (std::int64_t{4} << 20)) <=
        1.1 * static_cast<double>(planned.peak_bytes));
}

TEST_CASE("reserved memory: what the first stage's steps took is there for the second stage") {
  const PlainPool plain;
  const ScratchFolder scratch;
  const SearchOptions o = two_stages(scratch / "small");
  const MemoryExtents first = SearchInputs(o, false).plan(o, Device::cuda).extents;
  constexpr std::int64_t step = std::int64_t{2} << 20;
  const auto rounded = [](std::int64_t bytes) { return (bytes + step - 1) / step * step; };
  // The second stage has larger weights, and smaller steps: both at once need another 4 MiB.
  const std::size_t others = simt::device_bytes();
  simt::Card small;
  small.device_bytes =
      others + static_cast<std::size_t>(rounded(first.ordinary) + rounded(first.captured) + step);
  simt::set_card(small);
  Watch watch;
  catch_stop_signals();
  CHECK(run_search(o, watch).epochs_done == 2);
  REQUIRE(watch.most.size() == 2);
  CHECK(watch.most[1] > watch.most[0]);
  pool().trim();
  CHECK(simt::device_bytes() == others);  // also of the last steps
}
