// SPDX-License-Identifier: MIT
#include "engine/ops/normalised_sum.h"

#include "engine/ops/workspace.h"
#include "engine/stream.h"

namespace drnas {
namespace {

int as_int(std::int64_t extent) { return static_cast<int>(extent); }

float* pointer(const Variable& v) { return v.empty() ? nullptr : v.value().data(); }

}  // namespace

NormalisedSum::NormalisedSum(const Tape& tape, const std::string& name, const Shape& raw,
                             const NormParameters& norm, const Summand& to, bool training)
    : name_(name),
      shape_{as_int(raw.n), as_int(raw.c), raw.h * raw.w},
      norm_(norm),
      to_(to),
      training_(training),
      saved_({1, 1, 2, raw.c}, MemoryTag::statistics, tape.device()) {
  if (!(raw == to.sum.value().shape()))
    throw Error(name + ": result " + to_string(raw) + " does not fit the node " +
                to_string(to.sum.value().shape()));
}

kernels::PlaneStatistics NormalisedSum::statistics() const {
  return {saved_.data(), saved_.data() + shape_.c, norm_.mean.data(), norm_.var.data()};
}

kernels::PlaneNormApply NormalisedSum::apply(const Tensor& raw) const {
  return {shape_,
          const_planes_of(raw),
          saved_.data(),
          saved_.data() + shape_.c,
          pointer(norm_.gamma),
          pointer(norm_.beta),
          to_.image_scale.empty() ? nullptr : to_.image_scale.data(),
          false,
          to_.accumulate};
}

void NormalisedSum::measure(const Tensor& raw) const {
  dispatch(raw.device(), [&]<Device D>() {
    const Tensor scratch = workspace(D, kernels::plane_norm_workspace<D>(shape_));
    execute([&] {
      kernels::plane_moments<D>(shape_, const_planes_of(raw), statistics(), {.training = training_},
                                scratch.data(), compute_stream(D));
    });
  });
}

void NormalisedSum::add(const Tensor& raw) const {
  dispatch(raw.device(), [&]<Device D>() {
    execute([&] {
      kernels::plane_norm_apply<D>(apply(raw), planes_of(to_.sum.value()), compute_stream(D));
    });
  });
}

std::vector<Variable> NormalisedSum::inputs(std::vector<Variable> others) const {
  for (const Variable& v : {norm_.gamma, norm_.beta})
    if (!v.empty()) others.push_back(v);
  return others;
}

void NormalisedSum::backward(Tape& tape, const Tensor& raw, const Tensor& coefficients,
                             const Tensor& dx, bool accumulate) const {
  if (!training_) throw Error(name_ + ": no gradient in evaluation mode");
  const auto wanted = [&](const Variable& v) {
    return !v.empty() && tape.wants(v) ? tape.sole_slot(v).data() : nullptr;
  };
  kernels::PlaneNormBackward b{};
  b.apply = apply(raw);
  b.dy = const_planes_of(tape.gradient(to_.sum));
  b.coefficients = coefficients.data();
  b.dgamma = wanted(norm_.gamma);
  b.dbeta = wanted(norm_.beta);
  if (!dx.empty()) b.dx = planes_of(dx);
  b.accumulate = accumulate;
  dispatch(tape.device(), [&]<Device D>() {
    const Tensor scratch = workspace(D, kernels::plane_norm_backward_workspace<D>(shape_));
    execute([&] { kernels::plane_norm_backward<D>(b, scratch.data(), compute_stream(D)); });
  });
}

void NormalisedSum::backward(Tape& tape, const Tensor& raw, const Tensor& dx,
                             bool accumulate) const {
  const Tensor coefficients({1, 1, 3, shape_.c}, MemoryTag::workspace, tape.device());
  backward(tape, raw, coefficients, dx, accumulate);
}

RawGradient NormalisedSum::raw_gradient(Tape& tape, const Tensor& raw) const {
  RawGradient result;
  result.coefficients = Tensor({1, 1, 3, shape_.c}, MemoryTag::workspace, tape.device());
  if (!to_.image_scale.empty())
    result.written =
        Tensor(raw.shape(), MemoryTag::workspace, tape.device(), DType::f32, Layout::planes);
  backward(tape, raw, result.coefficients, result.written, false);
  if (result.written.empty())
    result.planes = {const_planes_of(tape.gradient(to_.sum)), 1, result.coefficients.data()};
  else
    result.planes = {const_planes_of(result.written), 1, nullptr};
  return result;
}

}  // namespace drnas
