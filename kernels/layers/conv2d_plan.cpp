// SPDX-License-Identifier: MIT
// The only file that sees oneDNN: it holds the differences between releases 2.6 and 3.x.
#include "kernels/layers/conv2d_plan.h"

#include <omp.h>

#include <algorithm>
#include <dnnl.hpp>
#include <map>
#include <mutex>
#include <string>
#include <tuple>

namespace drnas::kernels {
namespace {

using dnnl::memory;

const dnnl::engine& cpu_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

/// oneDNN plans for omp_get_max_threads() threads; inside a parallel region that must be one.
class PlanningThreads {
 public:
  explicit PlanningThreads(int threads) : before_(omp_get_max_threads()) {
    omp_set_num_threads(threads);
  }
  ~PlanningThreads() { omp_set_num_threads(before_); }

 private:
  int before_;
};

memory::desc describe(memory::dims dims, memory::format_tag tag) {
  return memory::desc(std::move(dims), memory::data_type::f32, tag);
}

struct Descriptions {
  memory::desc x, weights, y;
  memory::dims strides, padding;
};

Descriptions describe(const Conv2d& s) {
  using tag = memory::format_tag;
  return {describe({s.n, s.c_in, s.h, s.w}, tag::nhwc),
          describe({s.c_out, s.c_in, s.kernel, s.kernel}, tag::any),
          describe({s.n, s.c_out, s.out_h(), s.out_w()}, tag::nhwc),
          {s.stride, s.stride},
          {s.padding, s.padding}};
}

dnnl::primitive_attr user_scratchpad() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

constexpr auto algorithm = dnnl::algorithm::convolution_direct;

auto forward_plan(const Descriptions& d) {
#if DNNL_VERSION_MAJOR >= 3
  return dnnl::convolution_forward::primitive_desc(cpu_engine(), dnnl::prop_kind::forward_training,
                                                   algorithm, d.x, d.weights, d.y, d.strides,
                                                   d.padding, d.padding, user_scratchpad());
#else
  return dnnl::convolution_forward::primitive_desc(
      {dnnl::prop_kind::forward_training, algorithm, d.x, d.weights, d.y, d.strides, d.padding,
       d.padding},
      user_scratchpad(), cpu_engine());
#endif
}

auto backward_data_plan(const Descriptions& d) {
#if DNNL_VERSION_MAJOR >= 3
  return dnnl::convolution_backward_data::primitive_desc(cpu_engine(), algorithm, d.x, d.weights,
                                                         d.y, d.strides, d.padding, d.padding,
                                                         forward_plan(d), user_scratchpad());
#else
  return dnnl::convolution_backward_data::primitive_desc(
      {algorithm, d.x, d.weights, d.y, d.strides, d.padding, d.padding}, user_scratchpad(),
      cpu_engine(), forward_plan(d));
#endif
}

auto backward_weight_plan(const Descriptions& d) {
#if DNNL_VERSION_MAJOR >= 3
  return dnnl::convolution_backward_weights::primitive_desc(cpu_engine(), algorithm, d.x, d.weights,
                                                            d.y, d.strides, d.padding, d.padding,
                                                            forward_plan(d), user_scratchpad());
#else
  return dnnl::convolution_backward_weights::primitive_desc(
      {algorithm, d.x, d.weights, d.y, d.strides, d.padding, d.padding}, user_scratchpad(),
      cpu_engine(), forward_plan(d));
#endif
}

/// A memory object over memory that oneDNN reads; its interface has no const.
memory wrap(const memory::desc& description, const void* data) {
  return memory(description, cpu_engine(), const_cast<void*>(data));
}

}  // namespace

struct ConvPlan::Impl {
  Conv2d shape;
  ConvPass pass;
  memory::desc x, packed, y, plain, scratch;
  dnnl::primitive convolution;
  dnnl::reorder reorder;

  Impl(const Conv2d& s, ConvPass p) : shape(s), pass(p) {
    const Descriptions d = describe(s);
    x = d.x;
    y = d.y;
    plain = describe({s.c_out, s.c_in, s.kernel, s.kernel}, memory::format_tag::ohwi);
    const auto adopt = [&](auto plan, memory::desc weights, dnnl::primitive primitive) {
      packed = std::move(weights);
      scratch = plan.scratchpad_desc();
      convolution = std::move(primitive);
    };
    if (pass == ConvPass::forward) {
      const auto plan = forward_plan(d);
      adopt(plan, plan.weights_desc(), dnnl::convolution_forward(plan));
    } else if (pass == ConvPass::backward_data) {
      const auto plan = backward_data_plan(d);
      adopt(plan, plan.weights_desc(), dnnl::convolution_backward_data(plan));
    } else {
      const auto plan = backward_weight_plan(d);
      adopt(plan, plan.diff_weights_desc(), dnnl::convolution_backward_weights(plan));
    }
    const bool unpack = pass == ConvPass::backward_weight;
    reorder = dnnl::reorder(dnnl::reorder::primitive_desc(cpu_engine(), unpack ? packed : plain,
                                                          cpu_engine(), unpack ? plain : packed));
  }

  bool needs_padding(int rows, int columns) const {
    return rows != shape.c_out || columns != shape.c_in;
  }
};

ConvPlan::ConvPlan(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ConvPlan::~ConvPlan() = default;

const ConvPlan& ConvPlan::get(const Conv2d& shape, ConvPass pass, int threads) {
  static std::mutex mutex;
  static std::map<std::tuple<Conv2d, ConvPass, int>, std::unique_ptr<ConvPlan>> plans;
  // oneDNN 2.6.3 returns wrong weight gradients there (tests/kernels/layers/test_conv2d.cpp
  // compares every other small shape).
  if (pass == ConvPass::backward_weight && shape.kernel == 1 && shape.stride > 1 &&
      shape.c_in < channel_multiple)
    throw Error(
        "conv2d: weight gradients of 1x1 convolutions of stride 2 need at least 8 input channels, "
        "got " +
        std::to_string(shape.c_in));
  const std::lock_guard lock(mutex);
  std::unique_ptr<ConvPlan>& plan = plans[{shape, pass, threads}];
  if (!plan) {
    const PlanningThreads guard(threads);
    try {
      plan.reset(new ConvPlan(std::make_unique<Impl>(shape, pass)));
    } catch (const dnnl::error& failure) {
      throw Error(std::string("conv2d: oneDNN refused the shape: ") + failure.what());
    }
  }
  return *plan;
}

std::size_t ConvPlan::packed_bytes() const { return impl_->packed.get_size(); }
std::size_t ConvPlan::scratch_bytes() const { return impl_->scratch.get_size(); }

void ConvPlan::pack(const float* weights, int rows, int columns, float* packed,
                    float* staging) const {
  const Conv2d& s = impl_->shape;
  if (impl_->needs_padding(rows, columns)) {
    const int taps = s.kernel * s.kernel;
    std::fill_n(staging, s.weight_count(), 0.0f);
    for (int row = 0; row < rows * taps; ++row)
      std::copy_n(weights + std::int64_t{row} * columns, columns,
                  staging + std::int64_t{row} * s.c_in);
    weights = staging;
  }
  dnnl::stream stream(cpu_engine());
  memory from = wrap(impl_->plain, weights), to = wrap(impl_->packed, packed);
  impl_->reorder.execute(stream, from, to);
}

void ConvPlan::unpack(const float* packed, float* weights, int rows, int columns,
                      float* staging) const {
  const Conv2d& s = impl_->shape;
  const bool padded = impl_->needs_padding(rows, columns);
  dnnl::stream stream(cpu_engine());
  memory from = wrap(impl_->packed, packed), to = wrap(impl_->plain, padded ? staging : weights);
  impl_->reorder.execute(stream, from, to);
  if (!padded) return;
  for (int row = 0; row < rows * s.kernel * s.kernel; ++row)
    std::copy_n(staging + std::int64_t{row} * s.c_in, columns,
                weights + std::int64_t{row} * columns);
}

void ConvPlan::run(const float* x, const float* packed, const float* y, void* scratch) const {
  static constexpr int arguments[3][3] = {
      {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
      {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST},
      {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST},
  };
  const int* argument = arguments[static_cast<int>(impl_->pass)];
  dnnl::stream stream(cpu_engine());
  impl_->convolution.execute(stream, {{argument[0], wrap(impl_->x, x)},
                                      {argument[1], wrap(impl_->packed, packed)},
                                      {argument[2], wrap(impl_->y, y)},
                                      {DNNL_ARG_SCRATCHPAD, wrap(impl_->scratch, scratch)}});
}

const char* onednn_version() {
  static const std::string text = [] {
    const dnnl_version_t* v = dnnl_version();
    return std::to_string(v->major) + "." + std::to_string(v->minor) + "." +
           std::to_string(v->patch);
  }();
  return text.c_str();
}

}  // namespace drnas::kernels
