// SPDX-License-Identifier: MIT
#include "nas/step/network_trainer.h"

#include <cmath>

#include "engine/ops/derived_ops.h"
#include "engine/stream.h"
#include "kernels/train/elementwise.h"

namespace drnas {
namespace {

// Words of the record that a step leaves for the host.
constexpr int loss_word = 0, auxiliary_word = 2, norm_word = 4, rate_word = 5, record_words = 6;
constexpr const char* training_name = "training step";

}  // namespace

NetworkTrainer::NetworkTrainer(DerivedNetwork& network, NetworkTrainerOptions options)
    : network_(network),
      options_(options),
      record_(Tensor::zeros({1, 1, 1, record_words}, MemoryTag::optimizer,
                            network.parameters().device(), DType::f64)),
      steps_(record_, loss_word, norm_word, options.capture) {
  const ParameterStore& store = network.parameters();
  const Device device = store.device();
  statistics_before_ = Tensor(store.statistics_buffer().shape(), MemoryTag::statistics, device);
  counter_ = Tensor::zeros({1, 1, 1, 1}, MemoryTag::optimizer, device, DType::u32);
  auxiliary_weight_ = Tensor::zeros({1, 1, 1, 1}, MemoryTag::optimizer, device);
  drop_path_probability_ = Tensor::zeros({1, 1, 1, 1}, MemoryTag::optimizer, device);
  upload_scalar(options.auxiliary_weight, auxiliary_weight_);
}

void NetworkTrainer::set_steps(std::uint32_t steps) {
  steps_done_ = steps;
  upload_scalar(steps, counter_);
}

void NetworkTrainer::set_epoch(double learning_rate, double drop_path) {
  upload_scalar(learning_rate, word(rate_word));
  upload_scalar(static_cast<float>(drop_path), drop_path_probability_);
}

NetworkTrainer::Pass NetworkTrainer::forward(const DeviceBatch& batch, bool training, bool trap) {
  Pass pass{Tape(record_.device(), training), {}};
  pass.tape.trap_non_finite(trap);
  DerivedPass how{training};
  if (training && options_.drop_path) {
    how.drop_path = drop_path_probability_;
    how.step = counter_;
  }
  const DerivedNetwork::Logits logits =
      network_.forward(pass.tape, Variable(batch.images, "images"), how);
  const float smoothing = training ? options_.label_smoothing : 0;
  pass.loss =
      cross_entropy(pass.tape, "loss", logits.main, batch.labels, smoothing, word(loss_word, 2))
          .loss;
  if (training && !logits.auxiliary.empty()) {
    const Variable auxiliary = cross_entropy(pass.tape, "auxiliary loss", logits.auxiliary,
                                             batch.labels, smoothing, word(auxiliary_word, 2))
                                   .loss;
    pass.loss = weighted_sum(pass.tape, "sum of losses", pass.loss, auxiliary, auxiliary_weight_);
  }
  return pass;
}

void NetworkTrainer::work(bool training, const DeviceBatch& batch, StepResult& times) {
  Laps laps;
  if (batch.fill) batch.fill();
  if (training) copy(network_.parameters().statistics_buffer(), statistics_before_);
  Pass pass = forward(batch, training, false);
  times.forward_ms = laps.lap();
  if (!training) return;
  pass.tape.backward(pass.loss, network_.leaves());
  times.backward_ms = laps.lap();
  update_weights(network_.parameters(), options_.rule, word(rate_word), word(norm_word));
  dispatch(record_.device(), [&]<Device D>() {
    execute([&] { kernels::increment<D>(1, counter_.data<std::uint32_t>(), compute_stream(D)); });
  });
  times.optimizer_ms = laps.lap();
}

StepResult NetworkTrainer::run(bool training, const DeviceBatch& batch) {
  StepResult result = steps_.run(training ? training_name : "evaluation", batch,
                                 [&](StepResult& times) { work(training, batch, times); });
  result.draw = steps_done_;
  if (training) ++steps_done_;
  return result;
}

std::size_t NetworkTrainer::launches(const DeviceBatch& batch) const {
  return steps_.launches(training_name, batch);
}

void NetworkTrainer::require_finite(const StepResult& result, const DeviceBatch& batch) {
  if (std::isfinite(result.loss) && std::isfinite(result.gradient_norm)) return;
  const auto restore = [&] {
    copy(statistics_before_, network_.parameters().statistics_buffer());
    set_steps(result.draw);
  };
  restore();
  try {
    Pass pass = forward(batch, true, true);
    pass.tape.backward(pass.loss, network_.leaves());
  } catch (const Error& found) {
    restore();
    throw Error(training_name + std::string(": ") + found.what());
  }
  restore();
  throw Error(training_name + std::string(": the gradient norm is not finite"));
}

StepResult NetworkTrainer::train(const DeviceBatch& batch) {
  const StepResult result = run(true, batch);
  require_finite(result, batch);
  return result;
}

StepResult NetworkTrainer::evaluate(const DeviceBatch& batch) { return run(false, batch); }

}  // namespace drnas
