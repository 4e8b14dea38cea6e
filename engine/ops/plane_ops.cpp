// SPDX-License-Identifier: MIT
#include "engine/ops/plane_ops.h"

#include "engine/ops/workspace.h"
#include "engine/stream.h"
#include "kernels/planes/conv1x1_planes.h"
#include "kernels/planes/plane_norm.h"

namespace drnas {
namespace {

int as_int(std::int64_t extent) { return static_cast<int>(extent); }

Tensor new_planes(const Tape& tape, Shape shape, MemoryTag tag = MemoryTag::activations) {
  return Tensor(shape, tag, tape.device(), DType::f32, Layout::planes);
}

kernels::Conv1x1Planes describe(const std::string& name, const Shape& x,
                                const std::vector<Conv1x1Result>& results, Conv1x1Options options) {
  kernels::Conv1x1Planes p{as_int(x.n),    as_int(x.c), as_int(x.h), as_int(x.w), options.relu,
                           options.stride, 0,           {},          {}};
  for (const Conv1x1Result& result : results)
    for (const Conv1x1Result::Part& part : result.parts) {
      if (p.outputs == kernels::Conv1x1Planes::max_outputs)
        throw Error(name + ": more than " + std::to_string(p.outputs) + " convolutions");
      const Shape w = part.weight.value().shape();
      if (w.c != x.c || w.h != 1 || w.w != 1)
        throw Error(name + ": input " + to_string(x) + " does not fit weights " + to_string(w));
      p.c_out[p.outputs] = as_int(w.n);
      p.offset[p.outputs++] = part.offset;
    }
  return p;
}

void conv1x1_planes_backward(Tape& tape, const kernels::Conv1x1Planes& shape, const Variable& x,
                             const std::vector<Conv1x1Result>& results,
                             const std::vector<Variable>& y) {
  kernels::Conv1x1Backward b{};
  b.shape = shape;
  b.x = const_planes_of(x.value());
  int k = 0;
  for (std::size_t i = 0; i < results.size(); ++i) {
    std::int64_t first = 0;
    for (const Conv1x1Result::Part& part : results[i].parts) {
      const std::int64_t count = part.weight.value().shape().n;
      b.weight[k] = part.weight.value().data();
      b.dy[k] = const_planes_of(tape.gradient(y[i]).channels(first, count));
      if (tape.wants(part.weight)) b.dweight[k] = tape.sole_slot(part.weight).data();
      first += count;
      ++k;
    }
  }
  if (const GradientSlot dx = tape.slot(x)) {
    b.dx = planes_of(dx.tensor);
    b.accumulate = dx.accumulate();
  }
  dispatch(tape.device(), [&]<Device D>() {
    const Tensor scratch = workspace(D, kernels::conv1x1_backward_workspace<D>(shape));
    execute([&] { kernels::conv1x1_backward<D>(b, scratch.data(), compute_stream(D)); });
  });
}

}  // namespace

kernels::Planes planes_of(const Tensor& tensor) {
  if (tensor.layout() != Layout::planes)
    throw Error("tensor " + to_string(tensor.shape()) + ": expected planes");
  return {tensor.data(), tensor.image_stride()};
}

kernels::ConstPlanes const_planes_of(const Tensor& tensor) {
  const kernels::Planes planes = planes_of(tensor);
  return {planes.data, planes.stride};
}

void fill_zero(const Tensor& planes) {
  const Shape s = planes.shape();
  const Tensor zero = Tensor::zeros({1, s.h, s.w, s.c}, MemoryTag::workspace, planes.device());
  dispatch(planes.device(), [&]<Device D>() {
    execute([&] {
      // Every image copies the same zeros.
      kernels::copy_planes<D>(as_int(s.n), as_int(s.c), s.h * s.w, {zero.data(), 0},
                              planes_of(planes), false, compute_stream(D));
    });
  });
}

Variable to_planes(Tape& tape, const std::string& name, const Variable& x) {
  const Shape s = x.value().shape();
  const Variable y(new_planes(tape, s), name);
  dispatch(tape.device(), [&]<Device D>() {
    execute([&] {
      kernels::to_planes<D>(as_int(s.n), as_int(s.c), s.h * s.w, x.value().data(),
                            planes_of(y.value()), compute_stream(D));
    });
  });
  tape.record(name, {x}, y, [=](Tape& t) {
    const GradientSlot dx = t.slot(x);
    if (!dx) return;
    dispatch(t.device(), [&]<Device D>() {
      execute([&] {
        kernels::from_planes<D>(as_int(s.n), as_int(s.c), s.h * s.w, const_planes_of(t.gradient(y)),
                                dx.tensor.data(), dx.accumulate(), compute_stream(D));
      });
    });
  });
  return y;
}

Variable from_planes(Tape& tape, const std::string& name, const Variable& x) {
  const Shape s = x.value().shape();
  const Variable y(Tensor(s, MemoryTag::activations, tape.device()), name);
  dispatch(tape.device(), [&]<Device D>() {
    execute([&] {
      kernels::from_planes<D>(as_int(s.n), as_int(s.c), s.h * s.w, const_planes_of(x.value()),
                              y.value().data(), false, compute_stream(D));
    });
  });
  tape.record(name, {x}, y, [=](Tape& t) {
    const GradientSlot dx = t.slot(x);
    if (!dx) return;
    dispatch(t.device(), [&]<Device D>() {
      const Tensor turned = dx.accumulate() ? new_planes(t, s, MemoryTag::workspace) : dx.tensor;
      execute([&] {
        kernels::to_planes<D>(as_int(s.n), as_int(s.c), s.h * s.w, t.gradient(y).data(),
                              planes_of(turned), compute_stream(D));
        if (dx.accumulate())
          kernels::copy_planes<D>(as_int(s.n), as_int(s.c), s.h * s.w, const_planes_of(turned),
                                  planes_of(dx.tensor), true, compute_stream(D));
      });
    });
  });
  return y;
}

Variable average_planes(Tape& tape, const std::string& name, const Variable& x) {
  const Shape s = x.value().shape();
  const Variable y(Tensor({s.n, 1, 1, s.c}, MemoryTag::activations, tape.device()), name);
  dispatch(tape.device(), [&]<Device D>() {
    execute([&] {
      kernels::average_planes_forward<D>(as_int(s.n), as_int(s.c), s.h * s.w,
                                         const_planes_of(x.value()), y.value().data(),
                                         compute_stream(D));
    });
  });
  tape.record(name, {x}, y, [=](Tape& t) {
    if (!t.wants(x)) return;
    const Tensor dx = t.sole_slot(x);
    dispatch(t.device(), [&]<Device D>() {
      execute([&] {
        kernels::average_planes_backward<D>(as_int(s.n), as_int(s.c), s.h * s.w,
                                            t.gradient(y).data(), planes_of(dx), compute_stream(D));
      });
    });
  });
  return y;
}

std::vector<Variable> conv1x1_planes(Tape& tape, const std::string& name, const Variable& x,
                                     const std::vector<Conv1x1Result>& results,
                                     Conv1x1Options options) {
  const Shape in = x.value().shape();
  kernels::Conv1x1Forward f{};
  f.shape = describe(name, in, results, options);
  f.x = const_planes_of(x.value());
  std::vector<Variable> y, inputs{x};
  int k = 0;
  for (const Conv1x1Result& result : results) {
    Shape out{in.n, f.shape.out_h(), f.shape.out_w(), 0};
    for (const Conv1x1Result::Part& part : result.parts) out.c += part.weight.value().shape().n;
    y.emplace_back(new_planes(tape, out), name);
    std::int64_t first = 0;
    for (const Conv1x1Result::Part& part : result.parts) {
      const std::int64_t count = part.weight.value().shape().n;
      f.weight[k] = part.weight.value().data();
      f.y[k++] = planes_of(y.back().value().channels(first, count));
      first += count;
      inputs.push_back(part.weight);
    }
  }
  dispatch(tape.device(), [&]<Device D>() {
    const Tensor scratch = workspace(D, kernels::conv1x1_forward_workspace<D>(f.shape));
    execute([&] { kernels::conv1x1_forward<D>(f, scratch.data(), compute_stream(D)); });
  });
  tape.record(name, std::move(inputs), y,
              [=, shape = f.shape](Tape& t) { conv1x1_planes_backward(t, shape, x, results, y); });
  return y;
}

Variable plane_norm(Tape& tape, const std::string& name, const Variable& x, const Variable& gamma,
                    const Variable& beta, const Tensor& running_mean, const Tensor& running_var,
                    BatchNormOptions options) {
  const Shape s = x.value().shape();
  const auto pointer = [](const Variable& v) { return v.empty() ? nullptr : v.value().data(); };
  const auto statistic = [](const Tensor& t) { return t.empty() ? nullptr : t.data(); };
  const kernels::PlaneNorm shape{as_int(s.n), as_int(s.c), s.h * s.w};
  const Variable y(new_planes(tape, s), name);
  const Tensor saved({1, 1, 2, s.c}, MemoryTag::statistics, tape.device());
  const kernels::PlaneStatistics statistics{saved.data(), saved.data() + s.c,
                                            statistic(running_mean), statistic(running_var)};
  const kernels::NormMode mode{options.training, options.eps, options.momentum};
  kernels::PlaneNormApply apply{shape,
                                const_planes_of(x.value()),
                                statistics.mean,
                                statistics.inv_std,
                                pointer(gamma),
                                pointer(beta),
                                nullptr,
                                options.relu,
                                false};
  dispatch(tape.device(), [&]<Device D>() {
    const Tensor scratch = workspace(D, kernels::plane_norm_workspace<D>(shape));
    execute([&] {
      kernels::plane_moments<D>(shape, apply.x, statistics, mode, scratch.data(),
                                compute_stream(D));
      kernels::plane_norm_apply<D>(apply, planes_of(y.value()), compute_stream(D));
    });
  });
  std::vector<Variable> inputs{x};
  for (const Variable& v : {gamma, beta})
    if (!v.empty()) inputs.push_back(v);
  tape.record(name, std::move(inputs), y, [=](Tape& t) {
    const auto wanted = [&](const Variable& v) {
      return !v.empty() && t.wants(v) ? t.sole_slot(v).data() : nullptr;
    };
    const Tensor coefficients({1, 1, 3, s.c}, MemoryTag::workspace, t.device());
    kernels::PlaneNormBackward b{
        apply, const_planes_of(t.gradient(y)), coefficients.data(), wanted(gamma), wanted(beta), {},
        false};
    b.apply.x = const_planes_of(x.value());
    b.apply.mean = saved.data();
    b.fixed_statistics = !options.training;
    if (const GradientSlot dx = t.slot(x)) {
      b.dx = planes_of(dx.tensor);
      b.accumulate = dx.accumulate();
    }
    dispatch(t.device(), [&]<Device D>() {
      const Tensor scratch = workspace(D, kernels::plane_norm_backward_workspace<D>(shape));
      execute([&] { kernels::plane_norm_backward<D>(b, scratch.data(), compute_stream(D)); });
    });
  });
  return y;
}

Variable plane_norm_in_place(Tape& tape, const std::string& name, const Variable& x,
                             const Tensor& running_mean, const Tensor& running_var,
                             BatchNormOptions options) {
  // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): x gives its value up
  const Tensor value = x.value();
  const Shape s = value.shape();
  x.release_value();
  const Variable y(value, name);
  const kernels::PlaneNorm shape{as_int(s.n), as_int(s.c), s.h * s.w};
  const Tensor saved({1, 1, 2, s.c}, MemoryTag::statistics, tape.device());
  float *mean = saved.data(), *inv_std = mean + s.c;
  const kernels::PlaneStatistics statistics{mean, inv_std, running_mean.data(), running_var.data()};
  const kernels::NormMode mode{options.training, options.eps, options.momentum};
  dispatch(tape.device(), [&]<Device D>() {
    const Tensor scratch = workspace(D, kernels::plane_norm_workspace<D>(shape));
    execute([&] {
      const kernels::Stream stream = compute_stream(D);
      kernels::plane_moments<D>(shape, const_planes_of(value), statistics, mode, scratch.data(),
                                stream);
      kernels::plane_norm_apply<D>(
          {shape, const_planes_of(value), mean, inv_std, nullptr, nullptr, nullptr, false, false},
          planes_of(value), stream);
    });
  });
  tape.record(name, {x}, y, [=](Tape& t) {
    const GradientSlot dx = t.slot(x);
    if (!dx) return;
    // The result is normalised already; 1/std takes the part of gamma: dx = inv_std (dy - ...).
    const Tensor coefficients({1, 1, 3, s.c}, MemoryTag::workspace, t.device());
    const kernels::PlaneNormBackward b{{shape, const_planes_of(value), nullptr, nullptr,
                                        saved.data() + s.c, nullptr, nullptr, false, false},
                                       const_planes_of(t.gradient(y)),
                                       coefficients.data(),
                                       nullptr,
                                       nullptr,
                                       planes_of(dx.tensor),
                                       dx.accumulate(),
                                       !options.training};
    dispatch(t.device(), [&]<Device D>() {
      const Tensor scratch = workspace(D, kernels::plane_norm_backward_workspace<D>(shape));
      execute([&] { kernels::plane_norm_backward<D>(b, scratch.data(), compute_stream(D)); });
    });
  });
  return y;
}

Variable join_planes(Tape& tape, const std::string& name, const Tensor& whole,
                     const std::vector<Variable>& parts) {
  const Variable y(whole, name);
  tape.record(name, parts, y, [=](Tape& t) {
    const Tensor& dy = t.gradient(y);
    std::int64_t first = 0;
    for (const Variable& part : parts) {
      const std::int64_t count = part.value().shape().c;
      t.adopt(part, dy.channels(first, count));
      first += count;
    }
  });
  return y;
}

}  // namespace drnas
