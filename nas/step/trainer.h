// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/ops/ops.h"
#include "nas/method/distribution.h"
#include "nas/space/supernet.h"
#include "nas/step/recorded_steps.h"

namespace drnas {

/// Settings of the two optimisers (ALGORITHMS: published DrNAS values).
struct TrainerOptions {
  float momentum = 0.9f, weight_decay = 3e-4f;
  double grad_clip = 5.0;  ///< by the L2 norm of all weight gradients; 0 means none
  bool clip_with_alpha =
      true;  ///< the norm includes dL_train/dalpha, as the published NAS-Bench-201 code does
  double alpha_grad_clip = 0;  ///< by the L2 norm of alpha's gradient; 0 means none
  double alpha_learning_rate = 3e-4, alpha_beta1 = 0.5, alpha_beta2 = 0.999, alpha_eps = 1e-8;
  double l2 = 1e-3;     ///< added to alpha's gradient as l2*alpha: draws beta towards 1
  double kl = 0.0;      ///< weight of sum over edges of KL(Dirichlet(beta) || Dirichlet(1))
  bool capture = true;  ///< on CUDA: record each kind of step once as a graph and replay it
};

/// The bilevel search step on a supernet: alpha by Adam on validation batches, weights by SGD on
/// training batches (first order). Every pass draws its own mixing weights, numbered by a counter
/// that a checkpoint keeps. A step whose loss or gradients are not finite changes nothing and
/// throws Error that names the operation.
class Trainer {
 public:
  Trainer(Supernet& supernet, MixingDistribution& distribution, TrainerOptions options);

  /// Gradient of the validation loss for alpha only, plus the anchor's, then Adam. No weight
  /// gradients are computed.
  StepResult architecture_step(const DeviceBatch& batch);
  /// Gradient of the training loss for the weights, clipped by the global norm, then SGD with
  /// momentum.
  StepResult weight_step(const DeviceBatch& batch, double learning_rate);
  /// Loss and hits with running statistics and a fresh draw.
  StepResult evaluate(const DeviceBatch& batch);

  /// Loss, and where `gradient` is not null dL/dtheta [rows * columns], at mixing weights of the
  /// caller's [rows * columns] with the batch's statistics. Changes nothing: weights, running
  /// statistics, alpha and the count of draws stay.
  double probe(const DeviceBatch& batch, std::span<const double> theta,
               std::vector<double>* gradient);

  /// Launches, copies and fills of one recorded step on this batch; 0 where none is recorded.
  std::size_t launches(const DeviceBatch& batch, bool weights) const;
  /// dL/dtheta of the last step that computed it.
  const Tensor& theta_gradient() const { return dtheta_; }
  std::uint32_t draws() const { return draws_; }
  void set_draws(std::uint32_t draws);

 private:
  struct Pass {
    Tape tape;
    Variable theta;
    LossResult loss;
  };
  enum class Kind { architecture, weights, evaluation, probe, probe_gradient };
  StepResult run(Kind kind, const DeviceBatch& batch);
  void work(Kind kind, const DeviceBatch& batch, StepResult& times);
  void work_probe(Kind kind, const DeviceBatch& batch);
  Pass forward(const DeviceBatch& batch, const Tensor& theta, bool training, bool trap);
  void backward(Pass& pass, bool weights);
  void update_alpha();
  void update_weights();
  void keep_statistics();
  /// Where a step's report is not finite: undoes the step, repeats it with every result checked and
  /// throws Error that names the operation.
  void require_finite(const StepResult& result, const DeviceBatch& batch, bool weights);

  Supernet& supernet_;
  MixingDistribution& distribution_;
  TrainerOptions options_;
  std::uint32_t draws_ = 0;
  Tensor dtheta_;
  Tensor statistics_before_;  // running statistics as they were before the step
  Tensor draw_counter_;       // [1] uint32: draws_ in the device's memory
  Tensor probed_theta_;       // of the last probe; empty before the first
  Tensor record_;             // [4] float64: loss and hits, squared norm, learning rate
  double learning_rate_ = 0;  // what the record holds: an upload waits for the device
  RecordedSteps steps_;
};

}  // namespace drnas
