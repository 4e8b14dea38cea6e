// SPDX-License-Identifier: MIT
#include "engine/ops/derived_ops.h"

#include "engine/ops/normalised_sum.h"
#include "engine/ops/workspace.h"
#include "engine/stream.h"
#include "kernels/planes/plane_pool.h"
#include "kernels/train/elementwise.h"

namespace drnas {
namespace {

int as_int(std::int64_t extent) { return static_cast<int>(extent); }

kernels::PlanePool describe(const Shape& x, const PoolOperation& pool) {
  return {as_int(x.n), as_int(x.c), as_int(x.h), as_int(x.w), 3, pool.stride, 1, pool.max};
}

}  // namespace

void add_identity(Tape& tape, const std::string& name, const Variable& x, const Summand& to) {
  const Shape s = x.value().shape();
  if (!(s == to.sum.value().shape()))
    throw Error(name + ": " + to_string(s) + " does not fit " + to_string(to.sum.value().shape()));
  const auto add = [s](const Tensor& from, const Tensor& into, bool accumulate) {
    dispatch(into.device(), [&]<Device D>() {
      execute([&] {
        kernels::copy_planes<D>(as_int(s.n), as_int(s.c), s.h * s.w, const_planes_of(from),
                                planes_of(into), accumulate, compute_stream(D));
      });
    });
  };
  add(x.value(), to.sum.value(), to.accumulate);
  tape.record(name, {x}, to.sum, [=, y = to.sum](Tape& t) {
    if (const GradientSlot dx = t.slot(x)) add(t.gradient(y), dx.tensor, dx.accumulate());
  });
}

void add_normalised(Tape& tape, const std::string& name, const Variable& x,
                    const NormParameters& norm, const Summand& to, bool training) {
  const NormalisedSum sum(tape, name, x.value().shape(), norm, to, training);
  sum.measure(x.value());
  sum.add(x.value());
  tape.record(name, sum.inputs({x}), to.sum, [=](Tape& t) {
    const GradientSlot dx = t.slot(x);
    sum.backward(t, x.value(), dx.tensor, dx.accumulate());
  });
}

void add_pooled(Tape& tape, const std::string& name, const Variable& x, const PoolOperation& pool,
                const Summand& to, bool training) {
  const Shape in = x.value().shape();
  const kernels::PlanePool p = describe(in, pool);
  const Tensor pooled({in.n, p.out_h(), p.out_w(), in.c}, MemoryTag::activations, tape.device(),
                      DType::f32, Layout::planes);
  const NormalisedSum sum(tape, name, pooled.shape(), pool.norm, to, training);
  dispatch(tape.device(), [&]<Device D>() {
    const Tensor scratch = workspace(D, kernels::plane_pool_workspace<D>(p));
    execute([&] {
      kernels::plane_pool_forward<D>(p, const_planes_of(x.value()), planes_of(pooled),
                                     sum.statistics(), {.training = training}, scratch.data(),
                                     compute_stream(D));
    });
  });
  sum.add(pooled);
  tape.record(name, sum.inputs({x}), to.sum, [=](Tape& t) {
    const RawGradient raw = sum.raw_gradient(t, pooled);
    const GradientSlot dx = t.slot(x);
    if (!dx) return;
    kernels::PlanePoolBackward b{};
    b.pool = p;
    b.x = const_planes_of(x.value());
    b.pooled = const_planes_of(pooled);
    b.edges = 1;
    b.gradient[0] = raw.planes;
    b.dx = planes_of(dx.tensor);
    b.accumulate = dx.accumulate();
    dispatch(t.device(), [&]<Device D>() {
      execute([&] { kernels::plane_pool_backward<D>(b, compute_stream(D)); });
    });
  });
}

Variable rectify(Tape& tape, const std::string& name, const Variable& x) {
  if (!x.value().dense()) throw Error(name + ": expected a dense tensor");
  const std::int64_t count = x.value().elements();
  const Variable y(Tensor(x.value().shape(), MemoryTag::activations, tape.device(), DType::f32,
                          x.value().layout()),
                   name);
  dispatch(tape.device(), [&]<Device D>() {
    execute([&] {
      kernels::relu_forward<D>(count, x.value().data(), y.value().data(), compute_stream(D));
    });
  });
  tape.record(name, {x}, y, [=](Tape& t) {
    const GradientSlot dx = t.slot(x);
    if (!dx) return;
    dispatch(t.device(), [&]<Device D>() {
      execute([&] {
        kernels::relu_backward<D>(count, x.value().data(), t.gradient(y).data(), dx.tensor.data(),
                                  dx.accumulate(), compute_stream(D));
      });
    });
  });
  return y;
}

Variable square_filter(Tape& tape, const std::string& name, const Variable& weight) {
  const Shape w = weight.value().shape();
  const std::int64_t k = w.h * w.w, middle = k / 2;
  if ((w.h != 1 && w.w != 1) || k % 2 == 0)
    throw Error(name + ": weights " + to_string(w) + ", expected one row or column of odd length");
  const Variable y(
      Tensor::zeros({w.n, k, k, w.c}, MemoryTag::activations, tape.device(), DType::f32), name);
  // A row is contiguous in the square; a column is one pixel in each of its rows.
  const std::int64_t pieces = w.h == 1 ? w.n : w.n * k, count = w.h == 1 ? k * w.c : w.c;
  const std::int64_t stride = w.h == 1 ? k * k * w.c : k * w.c;
  const std::int64_t first = w.h == 1 ? middle * k * w.c : middle * w.c;
  dispatch(tape.device(), [&]<Device D>() {
    execute([&] {
      kernels::copy_planes<D>(as_int(pieces), 1, count, {weight.value().data(), count},
                              {y.value().data() + first, stride}, false, compute_stream(D));
    });
  });
  tape.record(name, {weight}, y, [=](Tape& t) {
    const Tensor dw = t.sole_slot(weight);
    dispatch(t.device(), [&]<Device D>() {
      execute([&] {
        kernels::copy_planes<D>(as_int(pieces), 1, count, {t.gradient(y).data() + first, stride},
                                {dw.data(), count}, false, compute_stream(D));
      });
    });
  });
  return y;
}

Variable weighted_sum(Tape& tape, const std::string& name, const Variable& a, const Variable& b,
                      const Tensor& factor) {
  return linear(tape, name, b, Variable(factor, name + ".factor"), a);
}

}  // namespace drnas
