// SPDX-License-Identifier: MIT
#include "nas/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "kernels/optimizer.h"

namespace drnas {
namespace {

constexpr kernels::Stream default_stream = nullptr;

/// Milliseconds since the last call.
class Laps {
 public:
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const double ms = std::chrono::duration<double, std::milli>(now - last_).count();
    last_ = now;
    return ms;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

StepResult result_of(const LossResult& loss, const DeviceBatch& batch, double forward_ms) {
  StepResult result;
  result.loss = loss.result.loss;
  result.top1 = loss.result.top1;
  result.top5 = loss.result.top5;
  result.count = static_cast<int>(batch.labels.elements());
  result.forward_ms = forward_ms;
  return result;
}

void copy_values(const Tensor& from, const Tensor& to) {
  std::copy_n(from.data(), from.elements(), to.data());
}

}  // namespace

DeviceBatch::DeviceBatch(std::span<const float> pixels, std::span<const std::int32_t> classes,
                         int size, Device device)
    : images({static_cast<std::int64_t>(classes.size()), size, size, 3}, MemoryTag::data, device),
      labels({1, 1, 1, static_cast<std::int64_t>(classes.size())}, MemoryTag::data, device,
             DType::i32) {
  if (static_cast<std::int64_t>(pixels.size()) != images.elements())
    throw Error("batch: " + std::to_string(pixels.size()) + " pixel values do not fill " +
                to_string(images.shape()));
  std::copy(pixels.begin(), pixels.end(), images.data());
  std::copy(classes.begin(), classes.end(), labels.data<std::int32_t>());
}

Trainer::Trainer(Nb201Supernet& supernet, MixingDistribution& distribution, TrainerOptions options)
    : supernet_(supernet), distribution_(distribution), options_(options) {
  const ArchitectureParameters& p = distribution.parameters();
  dtheta_ = Tensor::zeros(p.alpha.shape(), MemoryTag::optimizer, p.alpha.device(), DType::f64);
  const Tensor& statistics = supernet.parameters().statistics_buffer();
  statistics_before_ = Tensor(statistics.shape(), MemoryTag::statistics, statistics.device());
}

Trainer::Pass Trainer::forward(const DeviceBatch& batch, bool training, bool trap) {
  Pass pass{Tape(supernet_.parameters().device(), training), {}, {}};
  pass.tape.trap_non_finite(trap);
  pass.theta = Variable(distribution_.sample(draws_), dtheta_, "theta");
  const Variable logits =
      supernet_.forward(pass.tape, Variable(batch.images, "images"), pass.theta, training);
  pass.loss = cross_entropy(pass.tape, "loss", logits, batch.labels);
  return pass;
}

void Trainer::backward(Pass& pass, bool weights) {
  std::vector<Variable> wanted;
  if (weights) wanted = supernet_.leaves();
  if (!weights || options_.clip_with_alpha) wanted.push_back(pass.theta);
  pass.tape.backward(pass.loss.loss, wanted);
}

bool Trainer::alpha_gradient_finite() const {
  const Tensor& g = distribution_.parameters().gradient;
  const double* values = g.data<double>();
  return std::all_of(values, values + g.elements(), [](double v) { return std::isfinite(v); });
}

void Trainer::keep_statistics() {
  copy_values(supernet_.parameters().statistics_buffer(), statistics_before_);
}

void Trainer::diagnose(const DeviceBatch& batch, bool weights, const char* step) {
  const auto restore = [&] {
    copy_values(statistics_before_, supernet_.parameters().statistics_buffer());
  };
  restore();
  try {
    Pass pass = forward(batch, true, true);
    backward(pass, weights);
  } catch (const Error& found) {
    restore();
    throw Error(std::string(step) + ": " + found.what());
  }
  restore();
  throw Error(std::string(step) + ": the gradient of alpha or the gradient norm is not finite");
}

StepResult Trainer::architecture_step(const DeviceBatch& batch) {
  constexpr const char* name = "architecture step";
  keep_statistics();
  Laps laps;
  Pass pass = forward(batch, true, false);
  StepResult result = result_of(pass.loss, batch, laps.lap());
  if (!std::isfinite(result.loss)) diagnose(batch, false, name);
  backward(pass, false);
  result.backward_ms = laps.lap();
  distribution_.backward(dtheta_);
  if (options_.kl != 0) distribution_.add_kl_gradient(options_.kl);
  if (!alpha_gradient_finite()) diagnose(batch, false, name);
  ArchitectureParameters& p = distribution_.parameters();
  ++p.adam_steps;
  const kernels::AdamStep step{p.alpha.elements(),
                               options_.alpha_learning_rate,
                               options_.alpha_beta1,
                               options_.alpha_beta2,
                               options_.alpha_eps,
                               options_.l2,
                               p.adam_steps,
                               p.alpha.data<double>(),
                               p.first_moment.data<double>(),
                               p.second_moment.data<double>(),
                               p.gradient.data<double>()};
  dispatch(p.alpha.device(), [&]<Device D>() { kernels::adam_step<D>(step, default_stream); });
  ++draws_;
  result.optimizer_ms = laps.lap();
  return result;
}

StepResult Trainer::weight_step(const DeviceBatch& batch, double learning_rate) {
  constexpr const char* name = "weight step";
  keep_statistics();
  Laps laps;
  Pass pass = forward(batch, true, false);
  StepResult result = result_of(pass.loss, batch, laps.lap());
  if (!std::isfinite(result.loss)) diagnose(batch, true, name);
  backward(pass, true);
  result.backward_ms = laps.lap();
  const ParameterStore& store = supernet_.parameters();
  dispatch(store.device(), [&]<Device D>() {
    double squares = kernels::sum_of_squares<D>(store.gradients().elements(),
                                                store.gradients().data(), default_stream);
    if (options_.clip_with_alpha) {
      distribution_.backward(dtheta_);
      const Tensor& g = distribution_.parameters().gradient;
      for (std::int64_t i = 0; i < g.elements(); ++i)
        squares += g.data<double>()[i] * g.data<double>()[i];
    }
    result.gradient_norm = std::sqrt(squares);
    if (!std::isfinite(result.gradient_norm)) diagnose(batch, true, name);
    const double clip = options_.grad_clip > 0
                            ? std::min(1.0, options_.grad_clip / (result.gradient_norm + 1e-6))
                            : 1.0;
    const kernels::SgdStep step{store.weights().elements(), static_cast<float>(learning_rate),
                                options_.momentum,          options_.weight_decay,
                                static_cast<float>(clip),   store.weights().data(),
                                store.velocity().data(),    store.gradients().data()};
    kernels::sgd_step<D>(step, default_stream);
  });
  ++draws_;
  result.optimizer_ms = laps.lap();
  return result;
}

StepResult Trainer::evaluate(const DeviceBatch& batch) {
  Laps laps;
  const Pass pass = forward(batch, false, false);
  ++draws_;
  return result_of(pass.loss, batch, laps.lap());
}

}  // namespace drnas
