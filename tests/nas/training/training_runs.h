// SPDX-License-Identifier: MIT
// Small trainings on synthetic images, and what their folders hold.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/files.h"
#include "nas/run/signals.h"
#include "nas/training/train.h"

namespace drnas::train_test {

namespace fs = std::filesystem;

/// Convolutions, a pool, identities and an edge without operation.
constexpr const char* cell =
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|none~0|avg_pool_3x3~1|nor_conv_3x3~2|";

inline TrainOptions small_training(const fs::path& out, const std::string& genotype = cell) {
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
inline TrainOptions small_darts_training(const fs::path& out) {
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
inline std::vector<nlohmann::json> comparable_log(const fs::path& run) {
  std::vector<nlohmann::json> epochs;
  std::ifstream in(run / "log.jsonl");
  for (std::string line; std::getline(in, line);) {
    nlohmann::json epoch = nlohmann::json::parse(line);
    for (const char* timing : {"step_ms", "images_per_second"}) CHECK(epoch.erase(timing) == 1);
    epochs.push_back(std::move(epoch));
  }
  return epochs;
}

inline void check_same_run(const fs::path& a, const fs::path& b) {
  CHECK(comparable_log(a) == comparable_log(b));
  for (const char* name : {"checkpoint.safetensors", "weights.safetensors", "genotype.txt"})
    CHECK(read_file(a / name) == read_file(b / name));
}

inline TrainResult train(const TrainOptions& options, TrainObserver&& observer = {}) {
  catch_stop_signals();
  return run_training(options, observer);
}

}  // namespace drnas::train_test
