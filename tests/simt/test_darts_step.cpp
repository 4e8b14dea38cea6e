// SPDX-License-Identifier: MIT
// Search steps of the DARTS space through the engine's CUDA side, on the host executor.
#include "check/watch.h"
#include "engine/stream.h"
#include "executor.h"
#include "nas/search/memory_plan.h"
#include "nas/space/search_space.h"
#include "nas/step/supernet_trainer.h"
#include "tests/nas/space/pruned.h"
#include "tests/support/reference.h"
#include "tests/support/trainer.h"

using namespace drnas;
using namespace drnas::test;

namespace {

constexpr int rows = 28, columns = 7, batch = 2, side = 8;

SupernetOptions options_of(int cells, int parts) {
  SupernetOptions o;
  o.space = &search_space("darts");
  o.channels = 8;
  o.cells = cells;
  o.partial_channels = parts;
  o.raw_outputs = RawOutputs::store;
  return o;
}

struct Setup {
  std::unique_ptr<Supernet> supernet;
  std::unique_ptr<SearchMethod> method;
  std::unique_ptr<Trainer> trainer;
  std::unique_ptr<DeviceBatch> images;

  Setup(Device device, const SupernetOptions& o, bool capture = true)
      : supernet(make_supernet(o, 3, device)),
        method(make_method("drnas", {rows, columns, 3, device, {.grad_clip = 5}})) {
    if (!o.kept.empty()) method->prune(o.kept);
    TrainerOptions options;
    options.clip_with_alpha = false;
    options.capture = capture;
    trainer = std::make_unique<Trainer>(*supernet, *method, options);
    auto rng = generator(58);
    const Doubles pixels = normals(rng, batch * side * side * 3);
    images = std::make_unique<DeviceBatch>(std::vector<float>(pixels.begin(), pixels.end()),
                                           std::vector<std::int32_t>{1, 2}, side, device);
  }
  Doubles weights() const {
    const auto values = download<float>(supernet->parameters().weights());
    return Doubles(values.begin(), values.end());
  }
  Doubles alpha() const { return download<double>(method->law().alpha().values); }
  std::vector<double> step() {
    return {trainer->architecture_step(*images).loss, trainer->weight_step(*images, 0.025).loss,
            trainer->evaluate(*images).loss};
  }
};

void expect_no_faults() {
  simt::check_device_memory();
  for (const std::string& fault : simt::take_faults()) FAIL_CHECK(fault);
}

}  // namespace

TEST_CASE("simt DARTS step: the CUDA side follows the CPU's, whole and pruned") {
  auto rng = generator(59);
  for (const bool pruned : {false, true}) {
    SupernetOptions o = options_of(3, pruned ? 2 : 4);
    if (pruned) o.kept = random_kept(rng, rows, columns);
    if (pruned) o.rebuild_cells = 1;
    Setup cpu(Device::cpu, o), device(Device::cuda, o);
    CHECK(device.weights() == cpu.weights());
    for (int i = 0; i < 2; ++i) {
      const auto expected = cpu.step(), found = device.step();
      // Running statistics of two images a batch make the evaluation's loss large.
      for (std::size_t k = 0; k < 3; ++k)
        CHECK(found[k] == doctest::Approx(expected[k]).epsilon(k == 2 ? 1e-3 : 1e-4));
    }
    CHECK(max_error(device.weights(), cpu.weights()) < 1e-3);
    CHECK(max_error(device.alpha(), cpu.alpha()) < 1e-3);
  }
  expect_no_faults();
}

TEST_CASE("simt DARTS step: recorded steps equal steps as called, and the plan is exact") {
  const SupernetOptions o = options_of(3, 4);
  Allocator& pool = Allocator::of(Device::cuda);
  const bool checks = pool.set_checks(false);
  const std::int64_t before = pool.counters().live;
  MemoryQuestion question;
  question.supernet = o;
  question.batch_sizes = {batch};
  question.image_size = side;
  question.device = Device::cuda;
  const MemoryCounters planned = plan_memory(question);
  pool.reset_peak();
  {
    Setup called(Device::cuda, o, false);
    std::vector<double> expected;
    for (int i = 0; i < 3; ++i)
      for (const double loss : called.step()) expected.push_back(loss);
    CHECK(pool.counters().peak - before == planned.peak);
    Setup recorded(Device::cuda, o);
    std::vector<double> found;
    for (int i = 0; i < 3; ++i)
      for (const double loss : recorded.step()) found.push_back(loss);
    CHECK(found == expected);
    CHECK(recorded.weights() == called.weights());
    CHECK(recorded.alpha() == called.alpha());
    MESSAGE("launches of three cells: architecture step ",
            recorded.trainer->launches(*recorded.images, false), ", weight step ",
            recorded.trainer->launches(*recorded.images, true));
    CHECK(recorded.trainer->launches(*recorded.images, true) > 0);
  }
  pool.set_checks(checks);
  expect_no_faults();
}

TEST_CASE("simt DARTS step: launches of the published search's steps") {
  // 20 cells, K 6; launches depend on neither the channels nor the images.
  const simt::check::NotSeen not_seen;
  SupernetOptions o = options_of(20, 6);
  o.channels = 6;
  Setup s(Device::cuda, o);
  for (int i = 0; i < 2; ++i) {
    s.trainer->architecture_step(*s.images);
    s.trainer->weight_step(*s.images, 0.025);
  }
  const std::size_t architecture = s.trainer->launches(*s.images, false),
                    weights = s.trainer->launches(*s.images, true);
  MESSAGE("launches of 20 cells: architecture step ", architecture, ", weight step ", weights);
  CHECK(architecture > 1000);
  CHECK(architecture <= 1473);
  CHECK(weights <= 1895);
  expect_no_faults();
}
