// SPDX-License-Identifier: MIT
// Whole trainings of tiny networks on small synthetic images: repeatable, resumable bit by bit, and
// safe when something goes wrong.
#include "nas/training/train.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/gpu.h"
#include "engine/parameters/checkpoint.h"
#include "engine/parameters/torch_layout.h"
#include "engine/stream.h"
#include "nas/run/signals.h"
#include "nas/space/darts/darts_space.h"
#include "nas/training/train_inputs.h"
#include "nas/training/weights_file.h"
#include "tests/nas/training/training_runs.h"
#include "tests/parity/golden.h"
#include "tests/support/option_files.h"

namespace fs = std::filesystem;
using namespace drnas;
using test_files::check_fails;
using test_files::TemporaryFolder;
using namespace drnas::train_test;

TEST_CASE("training: the loss falls, a repeated run is bit-equal and another seed differs") {
  const TemporaryFolder scratch;
  TrainOptions first = small_training(scratch.path / "first");
  first.epochs = 8;
  TrainOptions second = first, other = first;
  second.out = scratch.path / "second";
  other.out = scratch.path / "other";
  other.seed = first.seed + 1;
  const TrainResult result = train(first);
  CHECK(result.epochs_done == 8);
  CHECK(result.test.images == 512);
  CHECK(result.best_top1 >= result.test.top1);
  train(second);
  train(other);
  check_same_run(first.out, second.out);
  const auto log = comparable_log(first.out);
  REQUIRE(log.size() == 8);
  CHECK(log.back()["train_loss"] < 0.9 * log.front()["train_loss"].get<double>());
  CHECK(log.back()["test_top5"] >= log.back()["test_top1"].get<double>());
  CHECK(log != comparable_log(other.out));
}

TEST_CASE("training: the loss of a DARTS network with all its regularisation falls") {
  const TemporaryFolder scratch;
  TrainOptions o = small_darts_training(scratch.path / "run");
  o.drop_path = 0.2;
  o.learning_rate = 0.05;
  o.epochs = 6;
  train(o);
  const auto log = comparable_log(o.out);
  REQUIRE(log.size() == 6);
  CHECK(log.front()["drop_path"] == 0.0);
  CHECK(log.back()["drop_path"] == doctest::Approx(0.2 * 5 / 6));
  CHECK(log.back()["train_loss"] < log.front()["train_loss"].get<double>());
}

TEST_CASE("training: stopped by SIGINT anywhere and resumed, it ends like an uninterrupted run") {
  const TemporaryFolder scratch;
  for (const bool darts : {false, true}) {
    CAPTURE(darts);
    const fs::path folder = scratch.path / (darts ? "darts" : "nb201");
    const TrainOptions whole =
        darts ? small_darts_training(folder / "whole") : small_training(folder / "whole");
    train(whole);
    const auto interrupted_and_resumed = [&](const char* name, Interrupter&& observer,
                                             int epochs_before) {
      CAPTURE(std::string(name));
      TrainOptions part = whole;
      part.out = folder / name;
      const TrainResult stopped = train(part, std::move(observer));
      CHECK(stopped.interrupted_by_signal == SIGINT);
      CHECK(stopped.epochs_done == epochs_before);
      part.resume = true;
      const TrainResult resumed = train(part);
      CHECK(resumed.interrupted_by_signal == 0);
      CHECK(resumed.epochs_done == 3);
      check_same_run(whole.out, part.out);
      CHECK(train(part).test.top1 == resumed.test.top1);  // nothing left to do
      const auto record = nlohmann::json::parse(read_text_file(part.out / "run.json"));
      CHECK(record["program"] == "drnas_train");
      CHECK(record["sessions"].size() == 3);
    };
    if (!darts) interrupted_and_resumed("first-epoch", Interrupter(1), 0);
    interrupted_and_resumed("middle", Interrupter(5), 1);
    if (!darts) interrupted_and_resumed("epoch-end", Interrupter(6), 1);
    if (!darts) interrupted_and_resumed("evaluation", Interrupter(40, "evaluation"), 1);
  }
}

TEST_CASE("training: drop path and the auxiliary loss change what is learnt") {
  const TemporaryFolder scratch;
  TrainOptions with = small_darts_training(scratch.path / "with"), without = with, lighter = with;
  with.epochs = without.epochs = lighter.epochs = 2;
  without.drop_path = 0;
  without.out = scratch.path / "without";
  lighter.auxiliary_weight = 0.1;
  lighter.out = scratch.path / "lighter";
  for (const TrainOptions& o : {with, without, lighter}) train(o);
  const auto loss = [](const TrainOptions& o, int epoch) {
    return comparable_log(o.out)[static_cast<std::size_t>(epoch)]["train_loss"].get<double>();
  };
  // The probability rises from zero, at which factors of one only round otherwise.
  CHECK(loss(with, 0) == doctest::Approx(loss(without, 0)).epsilon(1e-5));
  CHECK(std::abs(loss(with, 1) - loss(without, 1)) > 1e-3);
  CHECK(std::abs(loss(with, 0) - loss(lighter, 0)) > 1e-5);
}

TEST_CASE("training: tensors peak where the plan says") {
  const TemporaryFolder scratch;
  for (const TrainOptions& o :
       {small_training(scratch.path / "nb201"), small_darts_training(scratch.path / "darts")}) {
    std::string note;
    const Device device = choose_device(o.device, note);
    const std::int64_t planned = TrainInputs(o, false).plan(o, device).plan.memory.peak;
    const bool checks = Allocator::of(device).set_checks(false);
    train(o);
    Allocator::of(device).set_checks(checks);
    CHECK(comparable_log(o.out).back()["peak_bytes"]["total"] == planned);
  }
}

TEST_CASE("training: what a network costs is known without data") {
  const auto described = [](const std::string& name, bool imagenet) {
    TrainOptions o = train_preset_options(imagenet ? "darts-imagenet" : "darts-cifar10");
    o.genotype = find_genotype(name).text;
    o.device = "cpu";
    o.data = "/nonexistent";
    o.out = "unused";
    return describe_training(o);
  };
  const auto contains = [](const std::string& text, const std::string& part) {
    CHECK_MESSAGE(text.find(part) != text.npos, text, " lacks ", part);
  };
  const std::string small = described("DrNAS_cifar10", false);
  contains(small, "parameters  4,099,294\n");
  contains(small, "with the auxiliary head");
  contains(small, "multiply-adds");
  contains(small, "activations ");
  contains(described("PC_DARTS_cifar", false), "parameters  3,634,678\n");
  const std::string large = described("DrNAS_imagenet", true);
  contains(large, "parameters  5,726,368\n");
  contains(large, "1000 classes");
  // A published name brings its network, and the data set its classes.
  const auto resolved = [](std::vector<GivenOption> given) {
    TrainOptions o = resolve_train_options({}, given);
    o.device = "cpu";
    o.out = "unused";
    return describe_training(o);
  };
  contains(resolved({{"genotype", "DrNAS_imagenet", ""}}), "parameters  5,726,368\n");
  contains(resolved({{"genotype", "DrNAS_cifar10", ""}}), "parameters  4,099,294\n");
  contains(resolved({{"dataset", "imagenet16-120", ""}}), "120 classes");
  contains(resolved({{"dataset", "cifar100", ""}}), "100 classes");
  const TemporaryFolder folder;
  for (const char* name : {"cat", "dog", "owl"})
    fs::create_directories(folder.path / "train" / name);
  contains(resolved({{"dataset", "image-folder", ""}, {"data", folder.path.string(), ""}}),
           " 3 classes");
  TrainOptions nb201 = train_preset_options("nb201");
  nb201.device = "cpu";
  nb201.out = "unused";
  const std::string text = describe_training(nb201);
  CHECK(text.find("auxiliary") == text.npos);
}

TEST_CASE("training: a memory budget that is too small is one line and leaves no folder") {
  const TemporaryFolder scratch;
  TrainOptions o = small_training(scratch.path / "small");
  o.memory_limit = 1 << 20;
  o.batch_size = 40;
  check_fails([&] { train(o); }, {"--memory-limit 1048576", "the training needs"});
  CHECK(!fs::exists(o.out));
}

TEST_CASE("training: what is not finite stops the run with the operation's name and a good state") {
  const TemporaryFolder scratch;
  TrainOptions o = small_training(scratch.path / "run");
  o.learning_rate = 1e6;  // a few steps overflow float32
  o.weight_decay = 0.5;
  o.epochs = 50;
  check_fails([&] { train(o); }, {"is not finite", "operation", "checkpoint.safetensors"});
  const SafetensorsFile file(o.out / "checkpoint.safetensors");
  for (const auto& named : file.entries()) {
    if (named.second.dtype != "F32") continue;
    const std::string& name = named.first;
    const auto values = file.values<float>(name);
    CAPTURE(name);
    CHECK(std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); }));
  }
}
