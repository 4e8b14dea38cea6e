// SPDX-License-Identifier: MIT
#include "nas/step/trainer.h"

#include <array>
#include <cmath>

#include "engine/stream.h"
#include "kernels/train/elementwise.h"
#include "nas/step/weight_update.h"

namespace drnas {
namespace {

// Words of the record that a step leaves for the host.
constexpr int loss_word = 0, norm_word = 2, rate_word = 3, record_words = 4;

}  // namespace

Trainer::Trainer(Supernet& supernet, MixingDistribution& distribution, TrainerOptions options)
    : supernet_(supernet),
      distribution_(distribution),
      options_(options),
      record_(Tensor::zeros({1, 1, 1, record_words}, MemoryTag::optimizer,
                            supernet.parameters().device(), DType::f64)),
      steps_(record_, loss_word, norm_word, options.capture) {
  const ArchitectureParameters& p = distribution.parameters();
  const Device device = p.alpha.device();
  dtheta_ = Tensor::zeros(p.alpha.shape(), MemoryTag::optimizer, device, DType::f64);
  const Tensor& statistics = supernet.parameters().statistics_buffer();
  statistics_before_ = Tensor(statistics.shape(), MemoryTag::statistics, device);
  draw_counter_ = Tensor::zeros({1, 1, 1, 1}, MemoryTag::optimizer, device, DType::u32);
}

void Trainer::set_draws(std::uint32_t draws) {
  draws_ = draws;
  upload_scalar(draws, draw_counter_);
}

Trainer::Pass Trainer::forward(const DeviceBatch& batch, const Tensor& theta, bool training,
                               bool trap) {
  Pass pass{Tape(supernet_.parameters().device(), training), {}, {}};
  pass.tape.trap_non_finite(trap);
  pass.theta = Variable(theta, dtheta_, "theta");
  const Variable logits =
      supernet_.forward(pass.tape, Variable(batch.images, "images"), pass.theta, training);
  pass.loss = cross_entropy(pass.tape, "loss", logits, batch.labels, 0.0f,
                            record_.slice(loss_word, {1, 1, 1, 2}));
  return pass;
}

void Trainer::backward(Pass& pass, bool weights) {
  std::vector<Variable> wanted;
  if (weights) wanted = supernet_.leaves();
  if (!weights || options_.clip_with_alpha) wanted.push_back(pass.theta);
  pass.tape.backward(pass.loss.loss, wanted);
  if (weights && options_.clip_with_alpha) distribution_.backward(dtheta_);
}

void Trainer::keep_statistics() {
  copy(supernet_.parameters().statistics_buffer(), statistics_before_);
}

void Trainer::update_alpha() {
  distribution_.update(dtheta_,
                       {options_.alpha_learning_rate, options_.alpha_beta1, options_.alpha_beta2,
                        options_.alpha_eps, options_.l2, options_.alpha_grad_clip},
                       options_.kl, record_.slice(norm_word, {1, 1, 1, 1}));
}

void Trainer::update_weights() {
  drnas::update_weights(
      supernet_.parameters(), {options_.momentum, options_.weight_decay, options_.grad_clip},
      record_.slice(rate_word, {1, 1, 1, 1}), record_.slice(norm_word, {1, 1, 1, 1}),
      options_.clip_with_alpha ? distribution_.parameters().gradient : Tensor());
}

void Trainer::work(Kind kind, const DeviceBatch& batch, StepResult& times) {
  const bool training = kind != Kind::evaluation;
  Laps laps;
  if (batch.fill) batch.fill();
  if (training) keep_statistics();
  Pass pass =
      forward(batch, distribution_.draw(draw_counter_.data<std::uint32_t>()), training, false);
  times.forward_ms = laps.lap();
  if (training) backward(pass, kind == Kind::weights);
  times.backward_ms = laps.lap();
  if (kind == Kind::architecture) update_alpha();
  if (kind == Kind::weights) update_weights();
  dispatch(record_.device(), [&]<Device D>() {
    execute(
        [&] { kernels::increment<D>(1, draw_counter_.data<std::uint32_t>(), compute_stream(D)); });
  });
  times.optimizer_ms = laps.lap();
}

StepResult Trainer::run(Kind kind, const DeviceBatch& batch) {
  const char* const name = kind == Kind::architecture ? "architecture step"
                           : kind == Kind::weights    ? "weight step"
                                                      : "evaluation";
  StepResult result = steps_.run(static_cast<int>(kind), name, batch,
                                 [&](StepResult& times) { work(kind, batch, times); });
  result.draw = draws_++;
  return result;
}

std::size_t Trainer::launches(const DeviceBatch& batch, bool weights) const {
  return steps_.launches(static_cast<int>(weights ? Kind::weights : Kind::architecture), batch);
}

void Trainer::require_finite(const StepResult& result, const DeviceBatch& batch, bool weights) {
  if (std::isfinite(result.loss) && std::isfinite(result.gradient_norm)) return;
  const std::string step = weights ? "weight step" : "architecture step";
  const auto restore = [&] {
    copy(statistics_before_, supernet_.parameters().statistics_buffer());
    set_draws(result.draw);
  };
  restore();
  try {
    Pass pass = forward(batch, distribution_.draw(draw_counter_.data<std::uint32_t>()), true, true);
    backward(pass, weights);
  } catch (const Error& found) {
    restore();
    throw Error(step + ": " + found.what());
  }
  restore();
  throw Error(step + ": the gradient of alpha or the gradient norm is not finite");
}

StepResult Trainer::architecture_step(const DeviceBatch& batch) {
  const StepResult result = run(Kind::architecture, batch);
  require_finite(result, batch, false);
  return result;
}

StepResult Trainer::weight_step(const DeviceBatch& batch, double learning_rate) {
  if (learning_rate != learning_rate_)
    upload_scalar(learning_rate, record_.slice(rate_word, {1, 1, 1, 1}));
  learning_rate_ = learning_rate;
  const StepResult result = run(Kind::weights, batch);
  require_finite(result, batch, true);
  return result;
}

StepResult Trainer::evaluate(const DeviceBatch& batch) { return run(Kind::evaluation, batch); }

void Trainer::work_probe(Kind kind, const DeviceBatch& batch) {
  if (batch.fill) batch.fill();
  keep_statistics();
  Pass pass = forward(batch, probed_theta_, true, false);
  if (kind == Kind::probe_gradient) pass.tape.backward(pass.loss.loss, std::array{pass.theta});
  copy(statistics_before_, supernet_.parameters().statistics_buffer());
}

double Trainer::probe(const DeviceBatch& batch, std::span<const double> theta,
                      std::vector<double>* gradient) {
  if (probed_theta_.empty())
    probed_theta_ = Tensor(dtheta_.shape(), MemoryTag::optimizer, dtheta_.device(), DType::f64);
  upload<double>(theta, probed_theta_);
  const Kind kind = gradient ? Kind::probe_gradient : Kind::probe;
  const StepResult result = steps_.run(static_cast<int>(kind), "probe", batch,
                                       [&](StepResult&) { work_probe(kind, batch); });
  if (gradient) *gradient = download<double>(dtheta_);
  return result.loss;
}

}  // namespace drnas
