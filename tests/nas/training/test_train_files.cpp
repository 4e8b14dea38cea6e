// SPDX-License-Identifier: MIT
// What trainings write, read back, damaged and claimed.
#include "nas/training/train.h"

#include <doctest/doctest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "engine/gpu.h"
#include "engine/parameters/checkpoint.h"
#include "engine/parameters/torch_layout.h"
#include "engine/stream.h"
#include "nas/run/machine.h"
#include "nas/run/run_folder.h"
#include "nas/run/signals.h"
#include "nas/space/darts/darts_space.h"
#include "nas/training/train_inputs.h"
#include "nas/training/weights_file.h"
#include "tests/nas/training/training_runs.h"
#include "tests/parity/golden.h"
#include "tests/support/change_tensor.h"
#include "tests/support/option_files.h"
#include "tools/cli/train_cli.h"

namespace fs = std::filesystem;
using namespace drnas;
using test_files::check_fails;
using test_files::TemporaryFolder;
using namespace drnas::train_test;

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
  for (const auto& named : torch.entries()) {
    const std::string& name = named.first;
    CAPTURE(name);
    CHECK(file.at(name).shape == named.second.shape);
    CHECK(file.values<float>(name) == torch.values<float>(name));
  }
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

TEST_CASE("training: a file from elsewhere describes a network and its images, and nothing else") {
  const TemporaryFolder scratch;
  TrainOptions o = small_training(scratch.path / "run");
  o.epochs = 1;
  train(o);
  const fs::path file = o.out / "weights.safetensors", crafted = scratch.path / "crafted";
  std::string text = stored_configuration(file);
  text.replace(text.find("batch-size = 16"), 15, "batch-size = 65536");
  text +=
      "threads = 999\nmemory-limit = 1048576\nquiet = true\nno-graph = true\n"
      "cache = \"/tmp/thesis.txt\"\nout = \"/tmp/out\"\n";
  test_files::change(file, crafted, "", std::vector<float>{}, {{"configuration", text}});
  std::ostringstream output;
  const TrainOptions found =
      tools::parse_train_command_line({"--evaluate", crafted.string()}, output).options;
  CHECK((found.genotype == o.genotype && found.channels == 4 && found.cells == 1));
  CHECK((found.dataset == "synthetic" && found.image_size == 16));
  const TrainOptions plain = train_preset_options(o.preset);
  CHECK(found.batch_size == plain.batch_size);
  CHECK(found.threads == omp_get_num_procs());
  CHECK(found.memory_limit == 0);
  CHECK((!found.quiet && !found.no_graph && found.cache.empty() && found.device == plain.device));
  check_fails(
      [&] {
        tools::parse_train_command_line({"--evaluate", ""}, output);
      },
      {"--evaluate: expected a checkpoint"});
  check_fails(
      [&] {
        tools::parse_train_command_line({"--evaluate", crafted.string(), "--resume"}, output);
      },
      {"--resume: expected without --evaluate"});
  CHECK_THROWS_WITH_AS(require_memory(machine_memory() + 1, Device::cpu),
                       doctest::Contains("this machine has"), Error);
}

TEST_CASE("training: data may move between sessions, but not change") {
  const TemporaryFolder scratch;
  const fs::path here = scratch.path / "here", there = scratch.path / "there";
  fs::create_directory(here);
  for (const char* name : {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4",
                           "data_batch_5", "test_batch"}) {
    std::vector<std::byte> records(2 * 3073);
    for (std::size_t i = 0; i < records.size(); ++i)
      records[i] = i % 3073 == 0 ? std::byte{3} : static_cast<std::byte>(i * i);
    write_file_atomically(here / (std::string(name) + ".bin"), records);
  }
  TrainOptions o = small_training(scratch.path / "part");
  o.dataset = "cifar10";
  o.data = here;
  o.image_size = 32;
  o.limit_train = 0;
  o.batch_size = 4;
  TrainOptions whole = o;
  whole.out = scratch.path / "whole";
  train(whole);
  train(o, Interrupter(4));
  fs::rename(here, there);
  TrainOptions resumed = o;
  resumed.resume = true;
  resumed.data = there;
  resumed = resume_options(resumed, {{"data", there.string(), "--data"}});
  CHECK(resumed.data == there);

  const fs::path file = there / "data_batch_3.bin";
  const auto before = read_file(file);
  auto changed = before;
  changed[1000] ^= std::byte{1};
  write_file_atomically(file, changed);
  const std::string log = read_text_file(o.out / "log.jsonl");
  check_fails([&] { train(resumed); },
              {(o.out / "checkpoint.safetensors").string(), "other images", "--data"});
  CHECK(read_text_file(o.out / "log.jsonl") == log);
  write_file_atomically(file, before);
  CHECK(train(resumed).epochs_done == 3);
  check_same_run(whole.out, o.out);
}
