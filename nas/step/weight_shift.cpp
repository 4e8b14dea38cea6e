// SPDX-License-Identifier: MIT
#include "nas/step/weight_shift.h"

#include <cmath>

#include "engine/ops/workspace.h"
#include "engine/stream.h"
#include "kernels/train/optimizer.h"

namespace drnas {

WeightShift::WeightShift(const ParameterStore& store)
    : store_(store),
      saved_(store.weights().shape(), MemoryTag::weights, store.device(), DType::f32) {
  copy(store.weights(), saved_);
}

WeightShift::~WeightShift() { put_back(); }

void WeightShift::move(double rate, float momentum, float weight_decay) {
  const kernels::WeightShift shift{
      store_.weights().elements(),
      static_cast<float>(rate),
      momentum,
      weight_decay,
      saved_.data(),
      store_.velocity().data(),
      store_.gradients().data(),
      store_.weights().data(),
      store_.rounded().empty() ? nullptr : store_.rounded().data<bfloat16>()};
  dispatch(store_.device(), [&]<Device D>() {
    execute([&] { kernels::shift_weights<D>(shift, compute_stream(D)); });
  });
  moved_ = true;
}

void WeightShift::look_ahead(double learning_rate, const SgdRule& rule) {
  move(learning_rate, rule.momentum, rule.weight_decay);
}

void WeightShift::along_gradient(double scale) { move(-scale, 0, 0); }

void WeightShift::put_back() {
  if (!moved_) return;
  copy(saved_, store_.weights());
  store_.round_weights();
  moved_ = false;
}

GradientSum::GradientSum(const ParameterStore& store)
    : store_(store),
      sum_(Tensor::zeros(store.gradients().shape(), MemoryTag::gradients, store.device())) {}

void GradientSum::add(double share) {
  const kernels::WeightShift shift{
      sum_.elements(),          static_cast<float>(-share), 0,          0, sum_.data(),
      store_.velocity().data(), store_.gradients().data(),  sum_.data()};
  dispatch(store_.device(), [&]<Device D>() {
    execute([&] { kernels::shift_weights<D>(shift, compute_stream(D)); });
  });
}

void GradientSum::finish() const { copy(sum_, store_.gradients()); }

double gradient_norm(const ParameterStore& store) {
  const Tensor& g = store.gradients();
  const Tensor total =
      Tensor::zeros({1, 1, 1, 1}, MemoryTag::workspace, store.device(), DType::f64);
  const kernels::SquaredNorm norm{g.elements(), g.data(), 0, nullptr, total.data<double>()};
  dispatch(store.device(), [&]<Device D>() {
    const Tensor scratch = workspace(D, kernels::squared_norm_workspace<D>(norm));
    execute([&] { kernels::squared_norm<D>(norm, scratch.data(), compute_stream(D)); });
  });
  return std::sqrt(download<double>(total)[0]);
}

}  // namespace drnas
