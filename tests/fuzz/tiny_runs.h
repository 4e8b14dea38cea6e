// SPDX-License-Identifier: MIT
// The smallest search and training, whose files are fuzzed, and what a run needs to go on from a
// checkpoint.
#pragma once

#include "nas/run/run_loop.h"
#include "nas/search/search_task.h"
#include "nas/training/training_task.h"
#include "tests/fuzz/safetensors_parts.h"

namespace drnas::fuzz {

/// Two stages; the second has one operation an edge.
inline SearchOptions tiny_search(const fs::path& out) {
  SearchOptions o;
  o.dataset = "synthetic";
  o.image_size = 8;
  o.limit_train = 8;
  o.batch_size = 2;
  o.channels = 2;
  o.cells = 1;
  o.partial_channels = {2, 2};
  o.keep_ops = {5, 1};
  o.stage_epochs = {1, 1};
  o.epochs = 2;
  o.threads = 1;
  o.device = "cpu";
  o.out = out;
  return o;
}

inline TrainOptions tiny_training(const fs::path& out) {
  TrainOptions o;
  o.genotype = "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_1x1~2|";
  o.dataset = "synthetic";
  o.image_size = 8;
  o.limit_train = 4;
  o.batch_size = 2;
  o.channels = 1;
  o.cells = 1;
  o.epochs = 2;
  o.threads = 1;
  o.device = "cpu";
  o.out = out;
  return o;
}

/// What stands in a corpus for the configuration of these runs, so that a new option leaves the
/// files as they are.
inline constexpr const char* own_configuration = "(of the run)";

/// The file with `configuration` in place of own_configuration.
inline Bytes with_configuration(Input file, const std::string& configuration) {
  auto parts = take_apart(file);
  if (parts && parts->header.contains("__metadata__")) {
    nlohmann::ordered_json& metadata = parts->header["__metadata__"];
    if (metadata.is_object() &&
        metadata.value("configuration", nlohmann::ordered_json()) == own_configuration) {
      metadata["configuration"] = configuration;
      return put_together(std::move(*parts));
    }
  }
  return {file.begin(), file.end()};
}

/// A run that goes on from its checkpoint. `Options` are those of the task.
template <class Task, class Observer>
class ResumedRun {
 public:
  explicit ResumedRun(const typename Task::Options& options)
      : options_(options),
        inputs_(options, false),
        memory_(inputs_.plan(options, Device::cpu)),
        folder_(RunFolder::open(options)) {}

  const RunFolder& folder() const { return folder_; }

  /// Loads the checkpoint and goes on with a step. Throws as a run does.
  void go_on() {
    Task task(options_, inputs_, memory_, folder_, observer_, Device::cpu);
    RunLoop loop(task, folder_, observer_, Device::cpu, 10);
    loop.resume();
    RunProgress progress = loop.progress();
    require(progress.epoch >= 0 && progress.epoch <= task.epochs() && progress.step >= 0 &&
                progress.step <= task.steps(),
            "a run that stands outside its epochs and steps");
    task.seek(progress);
    if (progress.epoch >= task.epochs() || progress.step >= task.steps()) return;
    task.begin_epoch(progress);
    task.step(progress);
  }

 private:
  const typename Task::Options options_;
  const typename Task::Inputs inputs_;
  const typename Task::Memory memory_;
  const RunFolder folder_;
  Observer observer_;
};

}  // namespace drnas::fuzz
