// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include "engine/ops/ops.h"
#include "nas/space/derived_network.h"
#include "nas/step/recorded_steps.h"
#include "nas/step/weight_update.h"

namespace drnas {

struct NetworkTrainerOptions {
  SgdRule rule;
  float label_smoothing = 0;
  float auxiliary_weight = 0;  ///< of the auxiliary head's loss
  bool drop_path = false;      ///< with the probability that a step is given
  bool capture = true;         ///< on CUDA: record each kind of step once as a graph and replay it
};

/// The training step of a derived network: cross entropy with label smoothing plus the weighted one
/// of the auxiliary head, gradients clipped by their global norm, SGD. Steps are numbered by a
/// counter that a checkpoint keeps and that drop path draws from. A step whose loss or gradients
/// are not finite changes nothing and throws Error that names the operation.
class NetworkTrainer {
 public:
  NetworkTrainer(DerivedNetwork& network, NetworkTrainerOptions options);

  /// Learning rate and drop path's probability of the steps to come.
  void set_epoch(double learning_rate, double drop_path);
  /// The loss that is reported is the main head's.
  StepResult train(const DeviceBatch& batch);
  /// Cross entropy and hits with running statistics.
  StepResult evaluate(const DeviceBatch& batch);

  /// Launches, copies and fills of one recorded training step; 0 where none is recorded.
  std::size_t launches(const DeviceBatch& batch) const;
  /// Training steps done.
  std::uint32_t steps() const { return steps_done_; }
  void set_steps(std::uint32_t steps);

 private:
  struct Pass {
    Tape tape;
    Variable loss;
  };
  StepResult run(bool training, const DeviceBatch& batch);
  void work(bool training, const DeviceBatch& batch, StepResult& times);
  Pass forward(const DeviceBatch& batch, bool training, bool trap);
  Tensor word(int first, int count = 1) const { return record_.slice(first, {1, 1, 1, count}); }
  /// Where a step's report is not finite: undoes the step, repeats it with every result checked and
  /// throws Error that names the operation.
  void require_finite(const StepResult& result, const DeviceBatch& batch);

  DerivedNetwork& network_;
  NetworkTrainerOptions options_;
  std::uint32_t steps_done_ = 0;
  Tensor statistics_before_;  // running statistics as they were before the step
  Tensor counter_;            // [1] uint32: steps_done_ in the device's memory
  Tensor record_;             // [6] float64: losses and hits, squared norm, learning rate
  Tensor auxiliary_weight_, drop_path_probability_;  // [1] float32
  RecordedSteps steps_;
};

}  // namespace drnas
