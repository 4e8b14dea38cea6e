// SPDX-License-Identifier: MIT
#include "nas/step/supernet_trainer.h"

#include <cmath>

#include "engine/memory/planning.h"
#include "engine/stream.h"
#include "kernels/train/elementwise.h"
#include "nas/space/search_space.h"
#include "nas/step/weight_update.h"

namespace drnas {
namespace {

// Words of the record that a pass leaves for the host.
constexpr int loss_word = 0, norm_word = 2, rate_word = 3, alpha_norm_word = 4, record_words = 5;

}  // namespace

SupernetTrainer::SupernetTrainer(Supernet& supernet, ThetaSource& theta, AlphaUpdate* alpha,
                                 TrainerOptions options)
    : supernet_(supernet),
      theta_(theta),
      alpha_(alpha),
      options_(options),
      shape_(theta_shape(supernet.options())),
      record_(Tensor::zeros({1, 1, 1, record_words}, MemoryTag::optimizer,
                            supernet.parameters().device(), DType::f64)),
      steps_(record_, loss_word, norm_word, options.capture) {
  const Device device = supernet.parameters().device();
  dtheta_ = Tensor::zeros({1, 1, shape_.edges, shape_.operations}, MemoryTag::optimizer, device,
                          DType::f64);
  if (!options_.theta_cost.empty()) {
    theta_cost_ = Tensor(dtheta_.shape(), MemoryTag::optimizer, device, DType::f64);
    upload<double>(options_.theta_cost, theta_cost_);
  }
  const Tensor& statistics = supernet.parameters().statistics_buffer();
  statistics_before_ = Tensor(statistics.shape(), MemoryTag::statistics, device);
  draw_counter_ = Tensor::zeros({1, 1, 1, 1}, MemoryTag::optimizer, device, DType::u32);
  if (options_.skip_dropout_seed)
    skip_dropout_ = Tensor::zeros({1, 1, 1, 1}, MemoryTag::optimizer, device);
}

void SupernetTrainer::set_draws(std::uint32_t draws) {
  draws_ = draws;
  upload_scalar(draws, draw_counter_);
}

void SupernetTrainer::set_learning_rate(double learning_rate) {
  if (learning_rate != learning_rate_)
    upload_scalar(learning_rate, record_.slice(rate_word, {1, 1, 1, 1}));
  learning_rate_ = learning_rate;
}

void SupernetTrainer::set_skip_dropout(double probability) {
  if (!skip_dropout_.empty()) upload_scalar(static_cast<float>(probability), skip_dropout_);
}

void SupernetTrainer::give_theta(std::span<const double> theta) {
  if (given_theta_.empty())
    given_theta_ = Tensor(dtheta_.shape(), MemoryTag::optimizer, dtheta_.device(), DType::f64);
  upload<double>(theta, given_theta_);
}

ThetaSource& SupernetTrainer::source_of(const PassSetting& setting) const {
  return setting.source ? *setting.source : theta_;
}

SupernetPass SupernetTrainer::pass_of(const PassSetting& setting, const Tensor& theta) {
  SupernetPass pass(setting.norm != PassNorm::running);
  pass.run = setting.run;
  if (!skip_dropout_.empty() && setting.norm == PassNorm::batch &&
      setting.theta == PassTheta::drawn)
    pass.dropout = {*options_.skip_dropout_seed, skip_dropout_.data(),
                    draw_counter_.data<std::uint32_t>()};
  if (setting.run == OperationsRun::all || theta.device() == Device::cuda) return pass;
  active_.clear();
  // A plan counts all of them: which ones will be drawn is not known.
  if (planning())
    active_.assign(static_cast<std::size_t>(theta.elements()), 1);
  else
    for (const double weight : download<double>(theta)) active_.push_back(weight != 0 ? 1 : 0);
  pass.active = &active_;
  return pass;
}

SupernetTrainer::Pass SupernetTrainer::forward(const PassSetting& setting, const DeviceBatch& batch,
                                               bool trap) {
  const Tensor& theta = setting.theta == PassTheta::drawn
                            ? source_of(setting).draw(draw_counter_.data<std::uint32_t>())
                            : given_theta_;
  const bool recording =
      setting.norm != PassNorm::running || setting.weight_gradients || setting.theta_gradient;
  Pass pass{Tape(supernet_.parameters().device(), recording), {}, {}};
  pass.tape.trap_non_finite(trap);
  pass.theta = Variable(theta, dtheta_, "theta");
  const Variable logits = supernet_.forward(pass.tape, Variable(batch.images, "images"), pass.theta,
                                            pass_of(setting, theta));
  pass.loss = cross_entropy(pass.tape, "loss", logits, batch.labels, 0.0f,
                            record_.slice(loss_word, {1, 1, 1, 2}));
  return pass;
}

void SupernetTrainer::backward(const PassSetting& setting, Pass& pass) {
  std::vector<Variable> wanted;
  if (setting.weight_gradients) wanted = supernet_.leaves();
  if (setting.theta_gradient || clips_with_alpha(setting)) wanted.push_back(pass.theta);
  if (wanted.empty()) return;
  pass.tape.backward(pass.loss.loss, wanted);
  if (clips_with_alpha(setting)) source_of(setting).backward(dtheta_);
}

void SupernetTrainer::update(const PassSetting& setting) {
  const auto word = [&](int first) { return record_.slice(first, {1, 1, 1, 1}); };
  if (setting.updates_alpha()) {
    if (!theta_cost_.empty()) add_cost();
    alpha_->update(dtheta_, word(setting.updates_weights() ? alpha_norm_word : norm_word));
  }
  if (setting.updates_weights())
    update_weights(supernet_.parameters(), weight_rule(), word(rate_word), word(norm_word),
                   clips_with_alpha(setting) ? source_of(setting).alpha_gradient() : Tensor());
}

void SupernetTrainer::add_cost() {
  dispatch(dtheta_.device(), [&]<Device D>() {
    execute([&] {
      double* const sum = dtheta_.data<double>();
      kernels::add<D>(dtheta_.elements(), sum, theta_cost_.data<double>(), sum, compute_stream(D));
    });
  });
}

void SupernetTrainer::count_draw() {
  dispatch(record_.device(), [&]<Device D>() {
    execute(
        [&] { kernels::increment<D>(1, draw_counter_.data<std::uint32_t>(), compute_stream(D)); });
  });
}

void SupernetTrainer::work(const PassSetting& setting, const DeviceBatch& batch,
                           StepResult& times) {
  const Tensor& statistics = supernet_.parameters().statistics_buffer();
  Laps laps;
  if (batch.fill) batch.fill();
  if (setting.norm != PassNorm::running) copy(statistics, statistics_before_);
  Pass pass = forward(setting, batch, false);
  times.forward_ms = laps.lap();
  backward(setting, pass);
  times.backward_ms = laps.lap();
  update(setting);
  if (setting.norm == PassNorm::batch_only) copy(statistics_before_, statistics);
  if (setting.theta == PassTheta::drawn) count_draw();
  times.optimizer_ms = laps.lap();
}

void SupernetTrainer::check(const PassSetting& setting) {
  const auto [known, added] = settings_.try_emplace(setting.name, setting);
  const std::string name = std::string("pass '") + setting.name + "': ";
  if (!added && !(known->second == setting))
    throw Error(name + "another setting has this name, expected a name of its own");
  const bool drawn = setting.theta == PassTheta::drawn;
  if (setting.updates_weights() && !setting.weight_gradients)
    throw Error(name + "updates weights, expected weight_gradients");
  if (setting.updates_alpha() && !(alpha_ && drawn && setting.theta_gradient))
    throw Error(name + "updates alpha, expected an alpha update, drawn theta and theta_gradient");
  if (clips_with_alpha(setting) && !drawn)
    throw Error(name + "clips by alpha's gradient too, expected drawn theta");
  if (!drawn && given_theta_.empty()) throw Error(name + "expected give_theta() before it");
}

StepResult SupernetTrainer::run(const PassSetting& setting, const DeviceBatch& batch) {
  check(setting);
  StepResult result =
      steps_.run(setting.name, batch, [&](StepResult& times) { work(setting, batch, times); });
  result.draw = draws_;
  if (setting.theta == PassTheta::drawn) ++draws_;
  if (setting.update != PassUpdate::nothing) require_finite(setting, result, batch);
  return result;
}

std::size_t SupernetTrainer::launches(const PassSetting& setting, const DeviceBatch& batch) const {
  return steps_.launches(setting.name, batch);
}

void SupernetTrainer::require_finite(const PassSetting& setting, const StepResult& result,
                                     const DeviceBatch& batch) {
  if (std::isfinite(result.loss) && std::isfinite(result.gradient_norm)) return;
  const std::string name = setting.name;
  const auto restore = [&] {
    if (setting.norm != PassNorm::running)
      copy(statistics_before_, supernet_.parameters().statistics_buffer());
    set_draws(result.draw);
  };
  restore();
  try {
    Pass pass = forward(setting, batch, true);
    backward(setting, pass);
  } catch (const Error& found) {
    restore();
    throw Error(name + ": " + found.what());
  }
  restore();
  throw Error(name + ": the gradient of alpha or the gradient norm is not finite");
}

double SupernetTrainer::update_weights_by_gradients() {
  const Tensor norm = record_.slice(norm_word, {1, 1, 1, 1});
  update_weights(supernet_.parameters(), weight_rule(), record_.slice(rate_word, {1, 1, 1, 1}),
                 norm);
  const double found = std::sqrt(download<double>(norm)[0]);
  if (!planning() && !std::isfinite(found))
    throw Error("weight step: the gradient norm is not finite");
  return found;
}

std::uint32_t SupernetTrainer::next_draw() {
  const std::uint32_t number = draws_;
  set_draws(draws_ + 1);
  return number;
}

double SupernetTrainer::probe(const DeviceBatch& batch, std::span<const double> theta,
                              std::vector<double>* gradient) {
  give_theta(theta);
  const StepResult result = run(gradient ? passes::probe_gradient : passes::probe, batch);
  if (gradient) *gradient = download<double>(dtheta_);
  return result.loss;
}

}  // namespace drnas
