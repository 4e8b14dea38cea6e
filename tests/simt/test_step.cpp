// SPDX-License-Identifier: MIT
// Whole search steps through the engine's CUDA side on the host executor, beside the CPU backend.
#include <cuda_runtime.h>

#include <set>

#include "check/watch.h"
#include "engine/stream.h"
#include "executor.h"
#include "fenced_pool.h"
#include "nas/search/memory_plan.h"
#include "nas/space/nb201/nb201_space.h"
#include "nas/space/nb201/nb201_supernet.h"
#include "tests/nas/space/pruned.h"
#include "tests/support/reference.h"
#include "tests/support/trainer.h"
#include "vendor_conv2d.h"

using namespace drnas;
using namespace drnas::test;

namespace {

struct Sizes {
  int channels, cells, partial_channels, batch, image;
  RawOutputs raw_outputs = RawOutputs::store;
  DType storage = DType::f32;
  Kept kept = {};

  SupernetOptions options() const {
    return {channels, cells, 10, partial_channels, raw_outputs, storage, &nb201_space(), kept};
  }
};

/// A small supernet with everything that a search step needs, on one device.
struct Setup {
  Nb201Supernet supernet;
  std::unique_ptr<SearchMethod> method;
  Trainer trainer;
  DeviceBatch batch;

  Setup(Device device, const Sizes& s, TrainerOptions options = {},
        const std::string& name = "drnas")
      : supernet(s.options(), 3, device),
        method(make_method(name, {Nb201Supernet::edges, Nb201Supernet::ops, 3, device})),
        trainer(supernet, *method, options),
        batch(make_batch(device, s)) {
    if (!s.kept.empty()) method->prune(s.kept);
  }

  static DeviceBatch make_batch(Device device, const Sizes& s) {
    auto rng = generator(52);
    const Doubles pixels = normals(rng, s.batch * s.image * s.image * 3);
    const std::vector<float> images(pixels.begin(), pixels.end());
    std::vector<std::int32_t> labels;
    for (int i = 0; i < s.batch; ++i) labels.push_back(i % 3);
    return {images, labels, s.image, device};
  }
  Doubles weights() const {
    const auto values = download<float>(supernet.parameters().weights());
    return Doubles(values.begin(), values.end());
  }
  Doubles statistics() const {
    const auto values = download<float>(supernet.parameters().statistics_buffer());
    return Doubles(values.begin(), values.end());
  }
  Doubles alpha() const { return download<double>(method->law().alpha().values); }
};

void expect_no_faults() {
  simt::check_device_memory();
  for (const std::string& fault : simt::take_faults()) FAIL_CHECK(fault);
}

void check_steps(const Sizes& sizes, const std::string& name) {
  Setup cpu(Device::cpu, sizes, {}, name), device(Device::cuda, sizes, {}, name);
  CHECK(max_error(device.weights(), cpu.weights()) == 0);
  CHECK(max_error(device.alpha(), cpu.alpha()) == 0);
  for (int i = 0; i < 4; ++i) {
    const StepResult a = cpu.trainer.architecture_step(cpu.batch),
                     b = device.trainer.architecture_step(device.batch);
    CHECK(b.loss == doctest::Approx(a.loss).epsilon(1e-5));
    CHECK(b.top1 == a.top1);
    const StepResult c = cpu.trainer.weight_step(cpu.batch, 0.025),
                     d = device.trainer.weight_step(device.batch, 0.025);
    CHECK(d.loss == doctest::Approx(c.loss).epsilon(1e-5));
    CHECK(d.gradient_norm == doctest::Approx(c.gradient_norm).epsilon(1e-4));
    CHECK(device.trainer.evaluate(device.batch).loss ==
          doctest::Approx(cpu.trainer.evaluate(cpu.batch).loss).epsilon(1e-4));
  }
  // Rounding differs in its order; four steps let it grow. Adam divides a gradient by its own
  // size, which lifts the relative error of small ones.
  CHECK(max_error(device.weights(), cpu.weights()) < 1e-4);
  CHECK(max_error(device.statistics(), cpu.statistics()) < 1e-4);
  CHECK(max_error(device.alpha(), cpu.alpha()) < 1e-4);
  expect_no_faults();
}

void check_modes(const Kept& kept, int cells = 1, int partial = 2) {
  Doubles weights;
  for (const RawOutputs mode : {RawOutputs::store, RawOutputs::rebuild_1x1, RawOutputs::rebuild}) {
    const Sizes sizes{8, cells, partial, 2, 8, mode, DType::f32, kept};
    MemoryQuestion question;
    question.supernet = sizes.options();
    question.batch_sizes = {sizes.batch};
    question.image_size = sizes.image;
    question.device = Device::cuda;
    Allocator& pool = Allocator::of(Device::cuda);
    const bool checks = pool.set_checks(false);
    const std::int64_t before = pool.counters().live;
    const MemoryCounters planned = plan_memory(question);
    pool.reset_peak();
    Setup s(Device::cuda, sizes);
    for (int i = 0; i < 3; ++i) {
      s.trainer.architecture_step(s.batch);
      s.trainer.weight_step(s.batch, 0.025);
      s.trainer.evaluate(s.batch);
    }
    CHECK(pool.counters().peak - before == planned.peak);
    pool.set_checks(checks);
    if (weights.empty()) weights = s.weights();
    CHECK(s.weights() == weights);
  }
  expect_no_faults();
}

}  // namespace

TEST_CASE("simt step: both steps agree with the CPU backend") {
  for (const auto& [method, partial] : {std::pair{"drnas", 1}, {"drnas", 2}, {"darts", 4}}) {
    CAPTURE(partial);
    check_steps({8, 1, partial, 3, 8}, method);
  }
}

TEST_CASE("simt step: both steps of pruned networks agree with the CPU backend") {
  auto rng = generator(53);
  constexpr int edges = Nb201Supernet::edges, ops = Nb201Supernet::ops;
  for (const int partial : {1, 2})
    for (const Kept& kept : {random_kept(rng, edges, ops), kept_everywhere(edges, ops, {1, 4})}) {
      CAPTURE(partial);
      check_steps({8, 1, partial, 3, 8, RawOutputs::rebuild_1x1, DType::f32, kept}, "darts");
    }
}

TEST_CASE("simt step: rebuilding raw outputs changes no bit, and the plan is exact") {
  auto rng = generator(54);
  check_modes({});
  // Two cells of a stage, whose inner nodes run with their bundles.
  check_modes({}, 2, 1);
  check_modes(random_kept(rng, Nb201Supernet::edges, Nb201Supernet::ops));
}

TEST_CASE("simt step: recorded steps equal steps as called, bit by bit, and allocate nothing") {
  const simt::PoolAsOnGpu pool;
  const Sizes sizes{4, 1, 1, 2, 8};
  Setup called(Device::cuda, sizes, {.capture = false}), recorded(Device::cuda, sizes);
  std::int64_t allocations = 0;
  for (int i = 0; i < 5; ++i) {
    if (i == 2) allocations = Allocator::of(Device::cuda).counters().native_allocations;
    CHECK(recorded.trainer.architecture_step(recorded.batch).loss ==
          called.trainer.architecture_step(called.batch).loss);
    const double rate = 0.025 / (i + 1);  // read from memory, not frozen into the record
    CHECK(recorded.trainer.weight_step(recorded.batch, rate).loss ==
          called.trainer.weight_step(called.batch, rate).loss);
    CHECK(recorded.trainer.evaluate(recorded.batch).loss ==
          called.trainer.evaluate(called.batch).loss);
  }
  CHECK(recorded.weights() == called.weights());
  CHECK(recorded.statistics() == called.statistics());
  CHECK(recorded.alpha() == called.alpha());
  CHECK(recorded.trainer.launches(recorded.batch, true) > 0);
  CHECK(called.trainer.launches(called.batch, true) == 0);
  CHECK(Allocator::of(Device::cuda).counters().native_allocations == allocations);
  CHECK(simt::counts().graph_launches > 0);
  expect_no_faults();
}

TEST_CASE(
    "simt step: a probe agrees with the CPU backend and changes neither launches nor results") {
  const Sizes sizes{8, 1, 2, 3, 8, RawOutputs::rebuild_1x1};
  Setup cpu(Device::cpu, sizes), probed(Device::cuda, sizes), untouched(Device::cuda, sizes);
  auto rng = generator(55);
  for (int i = 0; i < 4; ++i) {
    Doubles theta = normals(rng, Nb201Supernet::edges * Nb201Supernet::ops, 0.05);
    for (double& share : theta) share += 0.2;
    Doubles expected, gradient;
    const double loss = cpu.trainer.probe(cpu.batch, theta, &expected);
    CHECK(probed.trainer.probe(probed.batch, theta, &gradient) ==
          doctest::Approx(loss).epsilon(1e-5));
    CHECK(max_error(gradient, expected) < 1e-4);
    CHECK(probed.trainer.probe(probed.batch, theta, nullptr) ==
          doctest::Approx(loss).epsilon(1e-5));
    CHECK(probed.statistics() == untouched.statistics());
    for (Setup* s : {&cpu, &probed, &untouched}) {
      s->trainer.architecture_step(s->batch);
      s->trainer.weight_step(s->batch, 0.025);
    }
  }
  CHECK(probed.weights() == untouched.weights());
  CHECK(probed.alpha() == untouched.alpha());
  for (const bool weights : {false, true})
    CHECK(probed.trainer.launches(probed.batch, weights) ==
          untouched.trainer.launches(untouched.batch, weights));
  CHECK(probed.trainer.launches(probed.batch, true) > 0);
  expect_no_faults();
}

TEST_CASE("simt step: launches of the published supernet's steps") {
  struct Case {
    const char* name;
    RawOutputs mode;
    DType storage;
    std::size_t architecture, weights, evaluation;  // at most
  };
  // Rebuilding runs 45 bundles twice: a launch each.
  const Case cases[] = {
      {"float32", RawOutputs::store, DType::f32, 189, 254, 113},
      {"bfloat16", RawOutputs::store, DType::bf16, 190, 256, 114},
      {"float32, 1x1 rebuilt", RawOutputs::rebuild_1x1, DType::f32, 234, 299, 113}};
  const simt::check::NotSeen not_seen;
  for (const Case& c : cases) {
    Setup s(Device::cuda, {8, 5, 1, 1, 8, c.mode, c.storage});
    for (int i = 0; i < 2; ++i) {
      s.trainer.architecture_step(s.batch);
      s.trainer.weight_step(s.batch, 0.025);
      s.trainer.evaluate(s.batch);
    }
    const std::size_t architecture = s.trainer.launches(s.batch, false),
                      weights = s.trainer.launches(s.batch, true),
                      evaluation = s.trainer.SupernetTrainer::launches(passes::evaluation, s.batch);
    MESSAGE(std::string(c.name), " launches: architecture step ", architecture, ", weight step ",
            weights, ", evaluation ", evaluation);
    CHECK(architecture > 100);
    CHECK(architecture <= c.architecture);
    CHECK(weights <= c.weights);
    CHECK(evaluation > 100);
    CHECK(evaluation <= c.evaluation);
  }
  expect_no_faults();
}

TEST_CASE("simt step: bfloat16 storage follows float32 and repeats bit by bit") {
  const auto losses = [](DType storage, TrainerOptions options) {
    Setup s(Device::cuda, {8, 1, 2, 4, 8, RawOutputs::store, storage}, options);
    std::vector<double> seen;
    for (int i = 0; i < 6; ++i) {
      seen.push_back(s.trainer.architecture_step(s.batch).loss);
      seen.push_back(s.trainer.weight_step(s.batch, 0.025).loss);
    }
    return seen;
  };
  const auto single = losses(DType::f32, {}), half = losses(DType::bf16, {});
  for (std::size_t i = 0; i < single.size(); ++i)
    CHECK(half[i] == doctest::Approx(single[i]).epsilon(0.05));
  CHECK(half.back() < half.front());
  CHECK(half != single);
  CHECK(half == losses(DType::bf16, {.capture = false}));
  expect_no_faults();
}

TEST_CASE("simt step: weights are kept in bfloat16 too, and the plan counts them") {
  const auto expect_copy = [](const ParameterStore& store) {
    const auto weights = download<float>(store.weights());
    REQUIRE(store.rounded().elements() == store.weights().elements());
    std::vector<bfloat16> rounded(weights.size());
    REQUIRE(cudaMemcpy(rounded.data(), store.rounded().data<bfloat16>(),
                       rounded.size() * sizeof(bfloat16), cudaMemcpyDeviceToHost) == cudaSuccess);
    std::size_t equal = 0;
    for (std::size_t i = 0; i < weights.size(); ++i)
      equal += rounded[i].bits == bfloat16(weights[i]).bits;
    CHECK(equal == weights.size());
  };
  // Of 4/2 channels nothing is a multiple of eight: all offsets are aligned nevertheless.
  for (const Sizes& sizes : {Sizes{8, 1, 1, 2, 8, RawOutputs::rebuild, DType::bf16},
                             Sizes{4, 1, 2, 2, 8, RawOutputs::rebuild_1x1, DType::bf16}}) {
    MemoryQuestion question;
    question.supernet = sizes.options();
    question.batch_sizes = {sizes.batch};
    question.image_size = sizes.image;
    question.device = Device::cuda;
    Allocator& pool = Allocator::of(Device::cuda);
    const bool checks = pool.set_checks(false);
    const std::int64_t before = pool.counters().live;
    const MemoryCounters planned = plan_memory(question);
    pool.reset_peak();
    Setup s(Device::cuda, sizes);
    expect_copy(s.supernet.parameters());
    for (int i = 0; i < 3; ++i) {
      s.trainer.architecture_step(s.batch);
      s.trainer.weight_step(s.batch, 0.025);
      s.trainer.evaluate(s.batch);
      expect_copy(s.supernet.parameters());
    }
    CHECK(pool.counters().peak - before == planned.peak);
    for (int tag = 0; tag < memory_tag_count; ++tag)
      if (before == 0) CHECK(pool.counters().by_tag_at_peak[tag] == planned.by_tag_at_peak[tag]);
    pool.set_checks(checks);
    auto weights = download<float>(s.supernet.parameters().weights());
    for (float& w : weights) w *= 1.1f;
    s.supernet.parameters().set_weights(weights);
    expect_copy(s.supernet.parameters());
    for (const NamedSlice& p : s.supernet.parameters().parameters())
      if (p.name.ends_with("<-0.2.op.1.weight") && p.name.find("1<-") != std::string::npos)
        CHECK(p.offset % 8 == 0);
  }
  expect_no_faults();
}

TEST_CASE(
    "simt step: no call of a vendor's library unless it is asked for; refusals name options") {
  auto& library = simt::vendor_convolutions();
  const auto steps = [] {
    for (const DType storage : {DType::f32, DType::bf16}) {
      Setup s(Device::cuda, {8, 1, 1, 2, 8, RawOutputs::store, storage});
      s.trainer.architecture_step(s.batch);
      s.trainer.weight_step(s.batch, 0.025);
      s.trainer.evaluate(s.batch);
    }
  };
  library.asked.clear();
  library.products = 0;
  steps();
  CHECK(library.asked.empty());
  CHECK(library.products == 0);
  if (!library.there) return;
  kernels::set_conv_source(kernels::ConvSource::vendor);
  steps();
  CHECK(library.asked.size() > 10);
  CHECK(library.products > 0);
  for (const auto& request : library.asked) CHECK(request.shape.c_in != 3);
  library.refuses = [](const auto& r) { return r.pass == kernels::ConvPass::backward_weight; };
  std::string message;
  try {
    Setup s(Device::cuda, {8, 1, 1, 2, 8});
    s.trainer.weight_step(s.batch, 0.025);
  } catch (const Error& error) {
    message = error.what();
  }
  library.refuses = nullptr;
  kernels::set_conv_source(kernels::ConvSource::automatic);
  CAPTURE(message);
  CHECK(message.find("conv2d backward_weight, fp32, x [2, 2, 2, 32]") == 0);
  CHECK(message.ends_with("; --precision tf32 may have one, --conv own needs none"));
  expect_no_faults();
}

TEST_CASE("simt step: planned memory of the published supernet in bfloat16, without scratch") {
  simt::vendor_convolutions().wants_workspace = false;
  MemoryQuestion q;
  q.device = Device::cuda;
  q.supernet.storage = DType::bf16;
  q.supernet.space = &nb201_space();
  for (const RawOutputs mode : {RawOutputs::store, RawOutputs::rebuild_1x1, RawOutputs::rebuild})
    for (const int parts : {1, 2, 4, 8}) {
      q.supernet.raw_outputs = mode;
      q.supernet.partial_channels = parts;
      const double mebibytes = static_cast<double>(plan_memory(q).peak) / (1 << 20);
      MESSAGE(std::string(to_string(mode)), ", K ", parts, ": ", mebibytes, " MiB");
      if (parts == 1 && mode == RawOutputs::store) CHECK(mebibytes <= 320);
      if (parts == 1 && mode == RawOutputs::rebuild) CHECK(mebibytes <= 130);
    }
  simt::vendor_convolutions().wants_workspace = true;
}

TEST_CASE("simt step: what is not finite is named and changes nothing") {
  Setup s(Device::cuda, {4, 1, 1, 2, 8});
  for (int i = 0; i < 2; ++i) s.trainer.weight_step(s.batch, 0.025);
  auto weights = download<float>(s.supernet.parameters().weights());
  for (const NamedSlice& p : s.supernet.parameters().parameters())
    if (p.name == "cells.2.edges.2<-1.3.op.1.weight") weights[p.offset] = NAN;
  s.supernet.parameters().set_weights(weights);
  const Doubles statistics = s.statistics(), alpha = s.alpha();
  CHECK_THROWS_WITH_AS(s.trainer.weight_step(s.batch, 0.025),
                       "weight step: result of operation cells.2.node1.convolutions is not finite",
                       Error);
  const auto after = download<float>(s.supernet.parameters().weights());
  CHECK(std::memcmp(after.data(), weights.data(), weights.size() * sizeof(float)) == 0);
  CHECK(s.statistics() == statistics);
  CHECK(s.alpha() == alpha);
  expect_no_faults();
}
