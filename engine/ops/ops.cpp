// SPDX-License-Identifier: MIT
#include "engine/ops/ops.h"

#include <cstring>
#include <type_traits>

#include "engine/ops/convolution.h"
#include "engine/ops/workspace.h"
#include "engine/stream.h"
#include "kernels/layers/batch_norm.h"
#include "kernels/layers/linear.h"
#include "kernels/layers/pool2d.h"
#include "kernels/train/elementwise.h"

namespace drnas {
namespace {

int as_int(std::int64_t extent) { return static_cast<int>(extent); }

Tensor rectified(const Tensor& x) {
  Tensor u(x.shape(), MemoryTag::workspace, x.device(), x.dtype());
  dispatch(x.device(), x.dtype(), [&]<Device D, class T>() {
    execute([&] {
      kernels::relu_forward<D>(x.elements(), x.data<T>(), u.data<T>(), compute_stream(D));
    });
  });
  return u;
}

/// dx = du, through the ReLU of x where the input was rectified.
template <Device D, class T>
void add_input_gradient(const GradientSlot& dx, const Tensor& du, const Tensor& x,
                        bool relu_input) {
  execute([&] {
    if (relu_input)
      kernels::relu_backward<D>(du.elements(), x.data<T>(), du.data<T>(), dx.tensor.data<T>(),
                                dx.accumulate(), compute_stream(D));
    else
      kernels::add<D>(du.elements(), dx.tensor.data<T>(), du.data<T>(), dx.tensor.data<T>(),
                      compute_stream(D));
  });
}

/// Data and weight gradients of one convolution.
void conv2d_backward(Tape& tape, const kernels::Conv2d& p, const Variable& x,
                     const Variable& weight, const Tensor& dy, bool relu_input) {
  const Device device = tape.device();
  dispatch(device, x.value().dtype(), [&]<Device D, class T>() {
    const Convolution<D, T> convolution(p);
    if (tape.wants(weight))
      convolution.backward_weight(relu_input ? rectified(x.value()) : x.value(), dy,
                                  tape.sole_slot(weight));
    const GradientSlot dx = tape.slot(x);
    if (!dx) return;
    const bool direct = !relu_input && !dx.accumulate();
    const Tensor du =
        direct ? dx.tensor : Tensor(x.value().shape(), MemoryTag::workspace, device, dtype_of<T>());
    convolution.backward_data(dy, weight, du);
    if (!direct) add_input_gradient<D, T>(dx, du, x.value(), relu_input);
  });
}

/// A result on the tape's device.
Variable result_of(const Tape& tape, Shape shape, DType dtype, const std::string& name) {
  return Variable(Tensor(shape, MemoryTag::activations, tape.device(), dtype), name);
}

kernels::BatchNorm describe(const Variable& x, const Variable& gamma, const Variable& beta,
                            const Tensor& running_mean, const Tensor& running_var,
                            const BatchNormOptions& options) {
  const auto pointer = [](const Variable& v) { return v.empty() ? nullptr : v.value().data(); };
  const auto statistic = [](const Tensor& t) { return t.empty() ? nullptr : t.data(); };
  const Shape shape = x.value().shape();
  return {shape.pixels(),         as_int(shape.c),  options.relu,  options.eps,
          options.momentum,       pointer(gamma),   pointer(beta), statistic(running_mean),
          statistic(running_var), !options.training};
}

}  // namespace

Variable conv2d(Tape& tape, const std::string& name, const Variable& x, const Variable& weight,
                Conv2dOptions options) {
  const Shape in = x.value().shape(), w = weight.value().shape();
  if (in.c != w.c || w.h != w.w)
    throw Error(name + ": input " + to_string(in) + " does not fit weights " + to_string(w));
  const kernels::Conv2d p{as_int(in.n), as_int(in.h), as_int(in.w),   as_int(in.c),
                          as_int(w.n),  as_int(w.h),  options.stride, options.padding};
  const Variable y = result_of(tape, {in.n, p.out_h(), p.out_w(), w.n}, x.value().dtype(), name);
  dispatch(tape.device(), x.value().dtype(), [&]<Device D, class T>() {
    Convolution<D, T>(p).forward(options.relu_input ? rectified(x.value()) : x.value(), weight,
                                 y.value());
  });
  tape.record(name, {x, weight}, y, [=](Tape& t) {
    conv2d_backward(t, p, x, weight, t.gradient(y), options.relu_input);
  });
  return y;
}

Variable cast(Tape& tape, const std::string& name, const Variable& x, DType to) {
  if (x.value().dtype() == to) return x;
  const std::int64_t count = x.value().elements();
  const Variable y = result_of(tape, x.value().shape(), to, name);
  const auto convert = [count](const Tensor& from, const Tensor& into) {
    dispatch(into.device(), DType::bf16, [&]<Device D, class T>() {
      if constexpr (!std::is_same_v<T, float>)
        execute([&] {
          if (into.dtype() == DType::f32)
            kernels::cast<D>(count, from.data<T>(), into.data(), compute_stream(D));
          else
            kernels::cast<D>(count, from.data(), into.data<T>(), compute_stream(D));
        });
    });
  };
  convert(x.value(), y.value());
  tape.record(name, {x}, y, [=](Tape& t) { convert(t.gradient(y), t.sole_slot(x)); });
  return y;
}

Variable batch_norm(Tape& tape, const std::string& name, const Variable& x, const Variable& gamma,
                    const Variable& beta, const Tensor& running_mean, const Tensor& running_var,
                    BatchNormOptions options) {
  const Shape shape = x.value().shape();
  const kernels::BatchNorm p = describe(x, gamma, beta, running_mean, running_var, options);
  const DType storage = x.value().dtype();
  const Variable y = result_of(tape, shape, storage, name);
  const Tensor saved({1, 1, 2, shape.c}, MemoryTag::statistics, tape.device());
  float *mean = saved.data(), *inv_std = mean + shape.c;
  dispatch(tape.device(), storage, [&]<Device D, class T>() {
    const Tensor scratch = workspace(tape.device(), kernels::batch_norm_workspace<D>(p));
    if (!options.training)
      return execute([&] {
        const T* none = nullptr;
        kernels::batch_norm_inference<D>(p, x.value().data<T>(), none, y.value().data<T>(),
                                         scratch.data(), compute_stream(D));
        if (tape.recording()) kernels::running_statistics<D>(p, mean, inv_std, compute_stream(D));
      });
    execute([&] {
      kernels::batch_norm_forward<D>(p, x.value().data<T>(), y.value().data<T>(), mean, inv_std,
                                     scratch.data(), compute_stream(D));
    });
  });
  std::vector<Variable> inputs{x};
  for (const Variable& v : {gamma, beta})
    if (!v.empty()) inputs.push_back(v);
  tape.record(name, std::move(inputs), y, [=](Tape& t) {
    dispatch(t.device(), storage, [&]<Device D, class T>() {
      const Tensor scratch = workspace(t.device(), kernels::batch_norm_workspace<D>(p));
      const GradientSlot dx = t.slot(x);
      const Tensor unwanted =
          dx ? Tensor() : Tensor(shape, MemoryTag::workspace, t.device(), storage);
      const auto leaf = [&](const Variable& v) {
        return v.empty() || !t.wants(v) ? nullptr : t.sole_slot(v).data();
      };
      float *dgamma = leaf(gamma), *dbeta = leaf(beta);
      execute([&] {
        kernels::batch_norm_backward<D>(p, x.value().data<T>(), t.gradient(y).data<T>(),
                                        saved.data(), saved.data() + shape.c,
                                        (dx ? dx.tensor : unwanted).data<T>(), dx.accumulate(),
                                        dgamma, dbeta, scratch.data(), compute_stream(D));
      });
    });
  });
  return y;
}

Variable add_batch_norm(Tape& tape, const std::string& name, const Variable& added,
                        const Variable& x, const Variable& gamma, const Variable& beta,
                        const Tensor& running_mean, const Tensor& running_var) {
  if (tape.recording()) throw Error(name + ": takes no part in a backward pass");
  if (!(added.value().shape() == x.value().shape()))
    throw Error(name + ": shapes " + to_string(added.value().shape()) + " and " +
                to_string(x.value().shape()) + " differ");
  const kernels::BatchNorm p =
      describe(x, gamma, beta, running_mean, running_var, {.training = false});
  const Variable y = result_of(tape, x.value().shape(), x.value().dtype(), name);
  dispatch(tape.device(), x.value().dtype(), [&]<Device D, class T>() {
    const Tensor scratch = workspace(D, kernels::batch_norm_workspace<D>(p));
    execute([&] {
      kernels::batch_norm_inference<D>(p, x.value().data<T>(), added.value().data<T>(),
                                       y.value().data<T>(), scratch.data(), compute_stream(D));
    });
  });
  return y;
}

Variable average_pool(Tape& tape, const std::string& name, const Variable& x, int kernel,
                      int stride, int padding) {
  const Shape in = x.value().shape();
  const kernels::Pool2d p{as_int(in.n), as_int(in.h), as_int(in.w), as_int(in.c),
                          kernel,       stride,       padding,      false};
  const DType storage = x.value().dtype();
  const Variable y = result_of(tape, {in.n, p.out_h(), p.out_w(), in.c}, storage, name);
  dispatch(tape.device(), storage, [&]<Device D, class T>() {
    execute([&] {
      kernels::pool2d_forward<D>(p, x.value().data<T>(), y.value().data<T>(), compute_stream(D));
    });
  });
  tape.record(name, {x}, y, [=](Tape& t) {
    const GradientSlot dx = t.slot(x);
    dispatch(t.device(), storage, [&]<Device D, class T>() {
      execute([&] {
        kernels::pool2d_backward<D>(p, x.value().data<T>(), t.gradient(y).data<T>(),
                                    dx.tensor.data<T>(), dx.accumulate(), compute_stream(D));
      });
    });
  });
  return y;
}

Variable global_average(Tape& tape, const std::string& name, const Variable& x) {
  const Shape in = x.value().shape();
  const int n = as_int(in.n), c = as_int(in.c);
  const DType storage = x.value().dtype();
  const Variable y = result_of(tape, {in.n, 1, 1, in.c}, DType::f32, name);
  dispatch(tape.device(), storage, [&]<Device D, class T>() {
    execute([&] {
      kernels::global_average_forward<D>(n, in.h * in.w, c, x.value().data<T>(), y.value().data(),
                                         compute_stream(D));
    });
  });
  tape.record(name, {x}, y, [=](Tape& t) {
    const GradientSlot dx = t.slot(x);
    dispatch(t.device(), storage, [&]<Device D, class T>() {
      execute([&] {
        kernels::global_average_backward<D>(n, in.h * in.w, c, t.gradient(y).data(),
                                            dx.tensor.data<T>(), dx.accumulate(),
                                            compute_stream(D));
      });
    });
  });
  return y;
}

Variable add(Tape& tape, const std::string& name, const Variable& a, const Variable& b) {
  if (!(a.value().shape() == b.value().shape()))
    throw Error(name + ": shapes " + to_string(a.value().shape()) + " and " +
                to_string(b.value().shape()) + " differ");
  const DType storage = a.value().dtype();
  const Variable y = result_of(tape, a.value().shape(), storage, name);
  const std::int64_t count = y.value().elements();
  dispatch(tape.device(), storage, [&]<Device D, class T>() {
    execute([&] {
      kernels::add<D>(count, a.value().data<T>(), b.value().data<T>(), y.value().data<T>(),
                      compute_stream(D));
    });
  });
  tape.record(name, {a, b}, y, [=](Tape& t) {
    for (const Variable& input : {a, b})
      if (const GradientSlot dx = t.slot(input)) {
        if (!dx.accumulate()) dx.tensor.clear();
        dispatch(t.device(), storage, [&]<Device D, class T>() {
          execute([&] {
            kernels::add<D>(count, dx.tensor.data<T>(), t.gradient(y).data<T>(),
                            dx.tensor.data<T>(), compute_stream(D));
          });
        });
      }
  });
  return y;
}

Variable linear(Tape& tape, const std::string& name, const Variable& x, const Variable& weight,
                const Variable& bias) {
  const Shape in = x.value().shape(), w = weight.value().shape();
  if (in.h * in.w * in.c != w.c)
    throw Error(name + ": input " + to_string(in) + " does not fit weights " + to_string(w));
  const kernels::Linear p{as_int(in.n), as_int(w.c), as_int(w.w)};
  Variable y(Tensor({in.n, 1, 1, w.w}, MemoryTag::activations, tape.device()), name);
  dispatch(tape.device(), [&]<Device D>() {
    execute([&] {
      kernels::linear_forward<D>(p, x.value().data(), weight.value().data(), bias.value().data(),
                                 y.value().data(), compute_stream(D));
    });
  });
  tape.record(name, {x, weight, bias}, y, [=](Tape& t) {
    const Tensor& dy = t.gradient(y);
    dispatch(t.device(), [&]<Device D>() {
      if (const GradientSlot dx = t.slot(x))
        execute([&] {
          kernels::linear_backward_data<D>(p, dy.data(), weight.value().data(), dx.tensor.data(),
                                           dx.accumulate(), compute_stream(D));
        });
      if (!t.wants(weight) && !t.wants(bias)) return;
      const Tensor dw =
          t.wants(weight) ? t.sole_slot(weight) : Tensor(w, MemoryTag::workspace, t.device());
      const Tensor db = t.sole_slot(bias);
      execute([&] {
        kernels::linear_backward_weight<D>(p, x.value().data(), dy.data(), dw.data(), db.data(),
                                           compute_stream(D));
      });
    });
  });
  return y;
}

kernels::CrossEntropyResult LossResult::decode(std::span<const double> words) {
  kernels::CrossEntropyResult values;
  std::memcpy(&values, words.data(), sizeof values);
  return values;
}

kernels::CrossEntropyResult LossResult::read() const { return decode(download<double>(result)); }

LossResult cross_entropy(Tape& tape, const std::string& name, const Variable& logits,
                         const Tensor& labels, float smoothing, Tensor result) {
  static_assert(sizeof(kernels::CrossEntropyResult) == 2 * sizeof(double));
  const Shape in = logits.value().shape();
  const kernels::CrossEntropy p{as_int(in.n), as_int(in.c), smoothing};
  const Variable loss(Tensor({1, 1, 1, 1}, MemoryTag::activations, tape.device()), name);
  if (result.empty())
    result = Tensor({1, 1, 1, 2}, MemoryTag::statistics, tape.device(), DType::f64);
  dispatch(tape.device(), [&]<Device D>() {
    execute([&] {
      kernels::cross_entropy_forward<D>(
          p, logits.value().data(), labels.data<std::int32_t>(),
          reinterpret_cast<kernels::CrossEntropyResult*>(result.bytes_begin()), loss.value().data(),
          compute_stream(D));
    });
  });
  tape.record(name, {logits}, loss, [=](Tape& t) {
    const Tensor dlogits = t.sole_slot(logits);
    dispatch(t.device(), [&]<Device D>() {
      execute([&] {
        kernels::cross_entropy_backward<D>(p, logits.value().data(), labels.data<std::int32_t>(),
                                           t.gradient(loss).data(), dlogits.data(),
                                           compute_stream(D));
      });
    });
  });
  return {loss, result};
}

}  // namespace drnas
