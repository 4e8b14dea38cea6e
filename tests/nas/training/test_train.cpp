// SPDX-License-Identifier: MIT
// Whole trainings of tiny networks on small synthetic images: repeatable, resumable bit by bit, and
// safe when something goes wrong.
#include "nas/training/train.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/gpu.h"
#include "engine/parameters/checkpoint.h"
#include "engine/parameters/torch_layout.h"
#include "engine/stream.h"
#include "nas/run/signals.h"
#include "nas/space/darts/darts_space.h"
#include "nas/training/train_inputs.h"
#include "nas/training/weights_file.h"
#include "tests/parity/golden.h"
#include "tests/support/change_tensor.h"
#include "tests/support/option_files.h"

namespace fs = std::filesystem;
using namespace drnas;
using test_files::check_fails;
using test_files::TemporaryFolder;

namespace {

/// Convolutions, a pool, identities and an edge without operation.
constexpr const char* cell =
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|none~0|avg_pool_3x3~1|nor_conv_3x3~2|";

TrainOptions small_training(const fs::path& out, const std::string& genotype = cell) {
  TrainOptions o = resolve_train_options({}, {{"genotype", genotype, "--genotype"}});
  o.dataset = "synthetic";
  o.image_size = 16;
  o.limit_train = 40;  // batches of 16, 16 and 8
  o.batch_size = 16;
  o.channels = 4;
  o.cells = 1;
  o.epochs = 3;
  o.threads = 2;
  o.out = out;
  return o;
}

/// All of the published training on CIFAR-10, with a small network: drop path, auxiliary head,
/// cutout, clipping. The auxiliary head wants images of 32 pixels.
TrainOptions small_darts_training(const fs::path& out) {
  TrainOptions o = small_training(out, "DrNAS_cifar10");
  o.image_size = 32;
  o.cells = 3;
  o.drop_path = 0.5;
  o.label_smoothing = 0.1;
  return o;
}

/// Sends the process a signal when `at` steps of a phase have been reported.
struct Interrupter : TrainObserver {
  int at, seen = 0;
  std::string phase;
  explicit Interrupter(int steps, const char* in = "training") : at(steps), phase(in) {}
  void on_step(const StepProgress& p) override {
    if (p.phase == phase && ++seen == at) std::raise(SIGINT);
  }
};

/// The log without what a clock decides.
std::vector<nlohmann::json> comparable_log(const fs::path& run) {
  std::vector<nlohmann::json> epochs;
  std::ifstream in(run / "log.jsonl");
  for (std::string line; std::getline(in, line);) {
    nlohmann::json epoch = nlohmann::json::parse(line);
    for (const char* timing : {"step_ms", "images_per_second"}) CHECK(epoch.erase(timing) == 1);
    epochs.push_back(std::move(epoch));
  }
  return epochs;
}

void check_same_run(const fs::path& a, const fs::path& b) {
  CHECK(comparable_log(a) == comparable_log(b));
  for (const char* name : {"checkpoint.safetensors", "weights.safetensors", "genotype.txt"})
    CHECK(read_file(a / name) == read_file(b / name));
}

TrainResult train(const TrainOptions& options, TrainObserver&& observer = {}) {
  catch_stop_signals();
  return run_training(options, observer);
}

}  // namespace

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

TEST_CASE("training: exported weights lie as PyTorch's and load back") {
  const TemporaryFolder scratch;
  for (TrainOptions o :
       {small_training(scratch.path / "nb201"), small_darts_training(scratch.path / "darts")}) {
    o.epochs = 1;
    const TrainResult result = train(o);
    const auto network = [&] {
      return make_derived_network(derived_options(o, 10), o.seed + 1, Device::cpu);
    };
    const auto trained = network(), loaded = network();
    load_network(o.out / "checkpoint.safetensors", *trained);
    load_network(o.out / "weights.safetensors", *loaded);
    const ParameterStore &a = trained->parameters(), &b = loaded->parameters();
    CHECK(download<float>(a.weights()) == download<float>(b.weights()));
    CHECK(download<float>(a.statistics_buffer()) == download<float>(b.statistics_buffer()));

    const SafetensorsFile file(o.out / "weights.safetensors");
    CHECK(file.entries().size() == a.parameters().size() + a.statistics().size());
    const std::vector<float> values = download<float>(a.weights());
    for (const NamedSlice& p : a.parameters()) {
      if (p.shape.n == 1 && p.shape.h == 1 && p.shape.w == 1) continue;
      const auto there = file.values<float>(p.name);
      const auto& extents = file.at(p.name).shape;
      if (p.name.ends_with("classifier.weight")) {
        CHECK(extents == std::vector<std::int64_t>{10, p.shape.c});
        CHECK(there.back() == values[static_cast<std::size_t>(p.offset + p.shape.elements() - 1)]);
        continue;
      }
      CHECK(extents == std::vector<std::int64_t>{p.shape.n, p.shape.c, p.shape.h, p.shape.w});
      // One entry, by both orders.
      const std::int64_t out = p.shape.n - 1, y = p.shape.h / 2, x = p.shape.w - 1,
                         in = p.shape.c - 1;
      const float here = values[static_cast<std::size_t>(
          p.offset + ((out * p.shape.h + y) * p.shape.w + x) * p.shape.c + in)];
      CHECK(there[static_cast<std::size_t>(((out * p.shape.c + in) * p.shape.h + y) * p.shape.w +
                                           x)] == here);
    }

    TrainObserver quiet;
    for (const char* name : {"checkpoint.safetensors", "weights.safetensors"}) {
      TrainOptions test = stored_train_options(o.out / name);
      CHECK((test.genotype == o.genotype && test.channels == o.channels));
      test.evaluate = o.out / name;
      test.threads = o.threads;
      test.out = "unused";
      const TestResult again = evaluate_training(test, quiet);
      CHECK((again.top1 == result.test.top1 && again.top5 == result.test.top5));
      CHECK(again.loss == result.test.loss);
    }
  }
}

TEST_CASE("training: exported names and shapes are those of the published network in PyTorch") {
  const auto golden = test::golden_file("darts_derived_c8_l4.safetensors");
  if (!golden) return;
  const SafetensorsFile reference(*golden);
  const TemporaryFolder scratch;
  SafetensorsWriter state;
  std::size_t count = 0;
  for (const auto& [name, entry] : reference.entries()) {
    const bool weight = name.starts_with("init."), statistic = name.starts_with("after.");
    if (!weight && !(statistic && name.find(".running_") != name.npos)) continue;
    state.add<float>(name.substr(name.find('.') + 1), entry.shape, reference.values<float>(name));
    ++count;
  }
  state.write(scratch.path / "torch.safetensors");
  const SafetensorsFile torch(scratch.path / "torch.safetensors");
  const auto network = make_derived_network(
      {{&darts_space(), reference.metadata_at("genotype")}, 8, 4, 10, 32, false, true}, 1);
  import_weights(torch, network->parameters());
  SafetensorsWriter exported;
  export_weights(exported, network->parameters());
  exported.write(scratch.path / "exported.safetensors");
  const SafetensorsFile file(scratch.path / "exported.safetensors");
  CHECK(file.entries().size() == count);
  for (const auto& [name, entry] : torch.entries()) {
    CAPTURE(name);
    CHECK(file.at(name).shape == entry.shape);
    CHECK(file.values<float>(name) == torch.values<float>(name));
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

TEST_CASE("training: a cut or foreign checkpoint is named and left alone") {
  const TemporaryFolder scratch;
  TrainOptions o = small_training(scratch.path / "run");
  train(o, Interrupter(5));
  o.resume = true;
  const fs::path checkpoint = o.out / "checkpoint.safetensors";
  const auto whole = read_file(checkpoint);
  const std::string log = read_text_file(o.out / "log.jsonl");
  write_file_atomically(checkpoint, std::span(whole).first(whole.size() / 2));
  check_fails([&] { train(o); }, {checkpoint.string()});
  CHECK(read_text_file(o.out / "log.jsonl") == log);

  TrainOptions other = small_training(scratch.path / "other");
  other.channels = 8;
  train(other, Interrupter(1));
  fs::copy_file(other.out / "checkpoint.safetensors", checkpoint,
                fs::copy_options::overwrite_existing);
  check_fails([&] { train(o); }, {checkpoint.string(), "another configuration"});
  fs::copy_file(o.out / "weights.safetensors", checkpoint, fs::copy_options::overwrite_existing);
  check_fails([&] { train(o); }, {checkpoint.string(), "not a checkpoint of a training"});
  check_fails([&] { stored_train_options(o.out / "config.toml"); }, {"config.toml"});
  check_fails([&] { stored_train_options(o.out / "none.safetensors"); }, {"none.safetensors"});

  write_file_atomically(checkpoint, whole);
  const fs::path good = scratch.path / "good";
  write_file_atomically(good, whole);
  for (const auto& [name, value] : {std::pair<const char*, std::int64_t>{"epoch", 1ll << 32},
                                    {"epoch", 4},
                                    {"step", 4},
                                    {"step", 1ll << 40}}) {
    test_files::change(good, checkpoint, std::string("progress.") + name, std::vector{value});
    check_fails([&] { train(o); }, {checkpoint.string(), std::to_string(value),
                                    "expected at most 3 epochs of 3 steps"});
    CHECK(read_text_file(o.out / "log.jsonl") == log);
  }
  write_file_atomically(checkpoint, whole);
  CHECK(train(o).epochs_done == 3);
}

TEST_CASE("training: a file that claims another network is refused before memory is taken") {
  const TemporaryFolder scratch;
  TrainOptions o = small_training(scratch.path / "run");
  o.epochs = 1;
  train(o);
  TrainObserver quiet;
  const auto evaluate = [&](const fs::path& file, const char* key, const std::string& value) {
    TrainOptions test = stored_train_options(file);
    set_option(test, *find_option_of<TrainOptions>(key), value, key);
    test.evaluate = file;
    test.out = "unused";
    Allocator::of(Device::cpu).reset_peak();
    evaluate_training(test, quiet);
  };
  for (const char* name : {"weights.safetensors", "checkpoint.safetensors"}) {
    const fs::path file = o.out / name;
    check_fails([&] { evaluate(file, "channels", "1024"); }, {file.string(), "shape"});
    CHECK(Allocator::of(Device::cpu).counters().peak < (1 << 20));
    check_fails([&] { evaluate(file, "cells", "2"); }, {file.string(), "found none"});
    // Fewer weights than the file has.
    std::string simple = cell;
    simple.replace(simple.find("|nor_conv_1x1~0"), 15, "|skip_connect~0");
    check_fails([&] { evaluate(file, "genotype", simple); },
                {file.string(), "none of the network's"});
    CHECK_NOTHROW(evaluate(file, "channels", "4"));
  }
}

TEST_CASE("training: what is not finite stops the run with the operation's name and a good state") {
  const TemporaryFolder scratch;
  TrainOptions o = small_training(scratch.path / "run");
  o.learning_rate = 1e6;  // a few steps overflow float32
  o.weight_decay = 0.5;
  o.epochs = 50;
  check_fails([&] { train(o); }, {"is not finite", "operation", "checkpoint.safetensors"});
  const SafetensorsFile file(o.out / "checkpoint.safetensors");
  for (const auto& [name, entry] : file.entries()) {
    if (entry.dtype != "F32") continue;
    const auto values = file.values<float>(name);
    CAPTURE(name);
    CHECK(std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); }));
  }
}
