// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "nas/run/run_loop.h"
#include "nas/training/train_events.h"
#include "nas/training/train_inputs.h"

namespace drnas {

/// A training as the run loop sees it: what its step and its epoch are.
class TrainingTask final : public RunTask {
 public:
  using Options = TrainOptions;
  using Inputs = TrainInputs;
  using Memory = TrainMemory;
  using Record = TrainEpoch;
  using Result = TrainResult;

  /// All outlive it.
  TrainingTask(const TrainOptions& options, const TrainInputs& inputs, const TrainMemory& memory,
               const RunFolder& folder, TrainObserver& observer, Device device);

  int epochs() const override { return options_.epochs; }
  std::int64_t steps() const override { return batches_.train->batches(); }
  const char* phase() const override { return "training"; }
  int images_a_step() const override { return options_.batch_size; }
  /// A test image costs about a third of a training image.
  double epoch_steps() const override;

  void begin() override;
  void seek(const RunProgress& progress) override;
  void begin_epoch(RunProgress& progress) override;
  StepResult step(const RunProgress& progress) override;
  bool evaluate(RunLoop& loop, const RunProgress& progress) override;
  void log_epoch(RunLoop& loop, const EpochBasics& basics) override;
  bool untouched() const override { return trainer_.steps() == 0; }
  std::uint32_t data_checksum() const override { return content_checksum(inputs_.dataset); }
  void archive(StateArchive& archive, RunProgress& progress) override;

  TrainResult result(const RunLoop& loop) const;

 private:
  const TrainOptions& options_;
  const TrainInputs& inputs_;
  const TrainMemory& memory_;
  const RunFolder& folder_;
  TrainObserver& observer_;
  std::unique_ptr<DerivedNetwork> network_;
  NetworkTrainer trainer_;
  BatchSources batches_;
  TestResult test_;  // of the last epoch that ended
  double best_top1_ = 0;
  double learning_rate_ = 0, drop_path_ = 0, step_ms_ = 0;  // of the current epoch
};

}  // namespace drnas
