// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "engine/ops/ops.h"
#include "nas/space/search_space.h"
#include "nas/step/pass.h"
#include "nas/step/recorded_steps.h"
#include "nas/step/weight_update.h"

namespace drnas {

/// How weights are updated (published DrNAS values).
struct TrainerOptions {
  float momentum = 0.9f, weight_decay = 3e-4f;
  double grad_clip = 5.0;  ///< by the L2 norm of all weight gradients; 0 means none
  bool clip_with_alpha =
      true;             ///< the norm includes dL_train/dalpha: see SpaceFacts::clips_with_alpha
  bool capture = true;  ///< on CUDA: record each kind of pass once as a graph and replay it
  bool nesterov = false;
  /// [edges * operations], added to dL/dtheta before alpha moves: the gradient of a cost that is
  /// linear in theta. Empty: none.
  std::vector<double> theta_cost = {};
  /// Keys the dropout of identities in training passes with drawn theta; none: nothing is dropped.
  std::optional<std::uint64_t> skip_dropout_seed = {};
};

/// Runs passes of a supernet. Passes with drawn theta are numbered by a counter that a checkpoint
/// keeps. A pass that updates something whose loss or gradients are not finite changes nothing and
/// throws Error that names the operation.
class SupernetTrainer {
 public:
  /// `alpha`: null where no pass updates alpha. All outlive it.
  SupernetTrainer(Supernet& supernet, ThetaSource& theta, AlphaUpdate* alpha,
                  TrainerOptions options);

  /// Throws Error that names the setting where it contradicts itself or another one of its name.
  StepResult run(const PassSetting& setting, const DeviceBatch& batch);
  /// Of weight updates from now on.
  void set_learning_rate(double learning_rate);
  /// Its probability from now on, also in recorded steps, where the options ask for dropout.
  void set_skip_dropout(double probability);
  /// Mixing weights [edges * operations] of passes with given theta from now on.
  void give_theta(std::span<const double> theta);

  /// Loss, and where `gradient` is not null dL/dtheta [edges * operations], at given mixing
  /// weights, with the batch's statistics. Changes nothing: weights, running statistics, alpha and
  /// the count of draws stay.
  double probe(const DeviceBatch& batch, std::span<const double> theta,
               std::vector<double>* gradient);

  /// Launches, copies and fills of one recorded pass on this batch; 0 where none is recorded.
  std::size_t launches(const PassSetting& setting, const DeviceBatch& batch) const;
  const Supernet& supernet() const { return supernet_; }
  double learning_rate() const { return learning_rate_; }
  SgdRule weight_rule() const {
    return {options_.momentum, options_.weight_decay, options_.grad_clip, options_.nesterov};
  }
  /// One step of SGD by the gradients that the network holds; their norm. Throws Error where it is
  /// not finite, and then changes nothing.
  double update_weights_by_gradients();
  /// A number for a draw outside passes, of which there is none again.
  std::uint32_t next_draw();
  /// The number of the draw to come, in the device's memory [1].
  const std::uint32_t* draw_counter() const { return draw_counter_.data<std::uint32_t>(); }
  /// dL/dtheta of the last pass that computed it, with the cost's where that moved alpha.
  /// The cost's gradient by theta, for methods that move alpha outside passes; may be empty.
  const std::vector<double>& theta_cost() const { return options_.theta_cost; }
  const Tensor& theta_gradient() const { return dtheta_; }
  std::uint32_t draws() const { return draws_; }
  void set_draws(std::uint32_t draws);

 private:
  struct Pass {
    Tape tape;
    Variable theta;
    LossResult loss;
  };
  void check(const PassSetting& setting);
  void work(const PassSetting& setting, const DeviceBatch& batch, StepResult& times);
  Pass forward(const PassSetting& setting, const DeviceBatch& batch, bool trap);
  void backward(const PassSetting& setting, Pass& pass);
  void update(const PassSetting& setting);
  ThetaSource& source_of(const PassSetting& setting) const;
  /// How the network runs, with the operations that do.
  SupernetPass pass_of(const PassSetting& setting, const Tensor& theta);
  /// dL/dtheta += the cost's gradient.
  void add_cost();
  void count_draw();
  /// Does the norm that clips include alpha's gradient?
  bool clips_with_alpha(const PassSetting& setting) const {
    return setting.updates_weights() && options_.clip_with_alpha;
  }
  /// Where a pass's report is not finite: undoes the pass, repeats it with every result checked and
  /// throws Error that names the operation.
  void require_finite(const PassSetting& setting, const StepResult& result,
                      const DeviceBatch& batch);

  Supernet& supernet_;
  ThetaSource& theta_;
  AlphaUpdate* alpha_;
  TrainerOptions options_;
  ThetaShape shape_;
  std::uint32_t draws_ = 0;
  Tensor dtheta_;
  Tensor theta_cost_;                 // float64, of dtheta_'s shape; empty: none
  std::vector<std::uint8_t> active_;  // of a pass that does not run all operations
  Tensor statistics_before_;          // running statistics as they were before the pass
  Tensor draw_counter_;               // [1] uint32: draws_ in the device's memory
  Tensor given_theta_;                // of give_theta(); empty before the first
  Tensor record_;        // [5] float64: loss and hits, squared norm, learning rate, alpha's norm
  Tensor skip_dropout_;  // [1] float32: the probability; empty: none
  double learning_rate_ = 0;  // what the record holds: an upload waits for the device
  RecordedSteps steps_;
  std::map<std::string_view, PassSetting> settings_;  // by name, which tells recorded steps apart
};

}  // namespace drnas
