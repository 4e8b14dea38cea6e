// SPDX-License-Identifier: MIT
#include <array>
#include <memory>

#include "engine/ops/normalised_sum.h"
#include "engine/ops/workspace.h"
#include "engine/stream.h"
#include "kernels/planes/separable.h"

namespace drnas {
namespace {

int as_int(std::int64_t extent) { return static_cast<int>(extent); }

float* pointer(const Variable& v) { return v.empty() ? nullptr : v.value().data(); }

/// Both halves of one operation, and what backward needs of them.
class SeparablePass {
 public:
  SeparablePass(const Variable& x, const SeparableOperation& operation, bool training)
      : x_(x), operation_(operation), training_(training) {}

  int last() const { return as_int(operation_.halves.size()) - 1; }
  const Tensor& raw(int half) const { return raw_[half]; }

  /// Makes the raw output of a half; statistics: of what it makes.
  void run(int half, const kernels::PlaneStatistics& statistics) {
    kernels::SeparableForward f{};
    f.shape = shape(half);
    f.filter[0] = filter(half);
    raw_[half] = Tensor({x_.value().shape().n, f.shape.out_h(), f.shape.out_w(), f.shape.c_out},
                        MemoryTag::activations, x_.value().device(), DType::f32, Layout::planes);
    f.z[0] = planes_of(raw_[half]);
    f.statistics[0] = statistics;
    f.mode.training = training_;
    dispatch(x_.value().device(), [&]<Device D>() {
      const Tensor scratch = workspace(D, kernels::separable_forward_workspace<D>(f.shape));
      execute([&] { kernels::separable_forward<D>(f, scratch.data(), compute_stream(D)); });
    });
  }

  /// Gradients of a half's weights and of its input: x, or the normalised first half. Frees its raw
  /// output.
  void backward(Tape& tape, int half, RawGradient& gradient) {
    kernels::SeparableBackward b{};
    b.shape = shape(half);
    b.filter[0] = filter(half);
    b.z[0] = const_planes_of(raw_[half]);
    b.gradient[0] = gradient.planes;
    const auto wanted = [&](const Variable& v) {
      return !v.empty() && tape.wants(v) ? tape.sole_slot(v).data() : nullptr;
    };
    b.ddepthwise[0] = wanted(operation_.halves[half].depthwise);
    b.dpointwise[0] = wanted(operation_.halves[half].pointwise);
    RawGradient before;
    if (half > 0) {
      const NormParameters& norm = operation_.halves[half - 1].norm;
      before.written = Tensor(raw_[half - 1].shape(), MemoryTag::workspace, tape.device(),
                              DType::f32, Layout::planes);
      before.coefficients = Tensor({1, 1, 3, b.shape.c}, MemoryTag::workspace, tape.device());
      before.planes = {const_planes_of(before.written), 1, before.coefficients.data()};
      b.dx[0] = planes_of(before.written);
      b.input_coefficients[0] = before.coefficients.data();
      b.dgamma[0] = wanted(norm.gamma);
      b.dbeta[0] = wanted(norm.beta);
    } else if (const GradientSlot dx = tape.slot(x_)) {
      b.dx[0] = planes_of(dx.tensor);
      b.accumulate = dx.accumulate();
    }
    dispatch(tape.device(), [&]<Device D>() {
      const Tensor scratch = workspace(D, kernels::separable_backward_workspace<D>(b.shape));
      execute([&] { kernels::separable_backward<D>(b, scratch.data(), compute_stream(D)); });
    });
    raw_[half] = Tensor();
    gradient = std::move(before);
  }

  /// The statistics of the first half, which the second reads.
  Tensor between;

 private:
  kernels::Separable shape(int half) const {
    const Shape in = half ? raw_[half - 1].shape() : x_.value().shape();
    const Shape w = operation_.halves[half].pointwise.value().shape();
    return {as_int(in.n),
            as_int(in.c),
            as_int(in.h),
            as_int(in.w),
            as_int(w.n),
            half ? 1 : operation_.stride,
            1};
  }

  kernels::SeparableFilter filter(int half) const {
    const SeparableOperation::Half& weights = operation_.halves[half];
    kernels::SeparableFilter f{operation_.kernel,
                               operation_.dilation,
                               {const_planes_of(half ? raw_[half - 1] : x_.value())},
                               weights.depthwise.value().data(),
                               weights.pointwise.value().data()};
    if (half) {
      const NormParameters& norm = operation_.halves[half - 1].norm;
      f.in.mean = between.data();
      f.in.inv_std = between.data() + between.shape().c;
      f.in.gamma = pointer(norm.gamma);
      f.in.beta = pointer(norm.beta);
    }
    return f;
  }

  Variable x_;
  SeparableOperation operation_;
  bool training_;
  std::array<Tensor, 2> raw_;
};

void check(const std::string& name, const Shape& x, const SeparableOperation& operation) {
  const std::size_t halves = operation.halves.size();
  if (halves < 1 || halves > 2)
    throw Error(name + ": " + std::to_string(halves) + " halves, expected one or two");
  std::int64_t c = x.c;
  for (const SeparableOperation::Half& half : operation.halves) {
    const Shape d = half.depthwise.value().shape(), p = half.pointwise.value().shape();
    if (!(d == Shape{c, operation.kernel, operation.kernel, 1}) || p.c != c || p.h * p.w != 1)
      throw Error(name + ": " + std::to_string(c) + " channels do not fit weights " + to_string(d) +
                  " and " + to_string(p));
    c = p.n;
  }
}

}  // namespace

void add_separable(Tape& tape, const std::string& name, const Variable& x,
                   const SeparableOperation& operation, const Summand& to, bool training) {
  check(name, x.value().shape(), operation);
  const auto pass = std::make_shared<SeparablePass>(x, operation, training);
  const int last = pass->last();
  if (last > 0) {
    const NormParameters& norm = operation.halves[0].norm;
    const std::int64_t c = operation.halves[0].pointwise.value().shape().n;
    pass->between = Tensor({1, 1, 2, c}, MemoryTag::statistics, tape.device());
    pass->run(0,
              {pass->between.data(), pass->between.data() + c, norm.mean.data(), norm.var.data()});
  }
  const NormalisedSum sum(tape, name, to.sum.value().shape(), operation.halves[last].norm, to,
                          training);
  pass->run(last, sum.statistics());
  if (!(pass->raw(last).shape() == to.sum.value().shape()))
    throw Error(name + ": result " + to_string(pass->raw(last).shape()) +
                " does not fit the node " + to_string(to.sum.value().shape()));
  sum.add(pass->raw(last));
  std::vector<Variable> inputs{x};
  for (const SeparableOperation::Half& half : operation.halves)
    for (const Variable& v : {half.depthwise, half.pointwise}) inputs.push_back(v);
  if (last > 0)
    for (const Variable& v : {operation.halves[0].norm.gamma, operation.halves[0].norm.beta})
      if (!v.empty()) inputs.push_back(v);
  tape.record(name, sum.inputs(std::move(inputs)), to.sum, [=](Tape& t) {
    RawGradient gradient = sum.raw_gradient(t, pass->raw(last));
    for (int half = last; half >= 0; --half) pass->backward(t, half, gradient);
  });
}

}  // namespace drnas
