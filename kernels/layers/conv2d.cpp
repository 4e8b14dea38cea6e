// SPDX-License-Identifier: MIT
#include "kernels/layers/conv2d.h"

#include <atomic>

#include "kernels/core/parallel.h"
#include "kernels/layers/conv2d_plan.h"

namespace drnas::kernels {
namespace {

std::atomic<ConvMath> math_mode = ConvMath::fp32;
std::atomic<ConvSource> source_mode = ConvSource::automatic;

/// Carves [packed weights | oneDNN scratch] out of the caller's workspace.
struct Scratch {
  float* packed;
  void* scratch;
  Scratch(const ConvPlan& plan, void* workspace)
      : packed(static_cast<float*>(workspace)),
        scratch(static_cast<std::byte*>(workspace) + round_up(plan.packed_bytes(), 256)) {}
};

}  // namespace

void set_conv_math(ConvMath math) { math_mode = math; }
ConvMath conv_math() { return math_mode; }

void set_conv_source(ConvSource source) { source_mode = source; }
ConvSource conv_source() { return source_mode; }

template <>
std::size_t conv2d_workspace<Device::cpu>(const Conv2d& p, ConvPass pass) {
  const ConvPlan& plan = ConvPlan::get(p, pass, thread_count());
  return round_up(plan.packed_bytes(), 256) + plan.scratch_bytes();
}

template <>
void conv2d_forward<Device::cpu>(const Conv2d& p, const float* x, const float* w, float* y,
                                 void* workspace, Stream) {
  const ConvPlan& plan = ConvPlan::get(p, ConvPass::forward, thread_count());
  const Scratch s(plan, workspace);
  plan.pack(w, p.c_out, p.c_in, s.packed, nullptr);
  plan.run(x, s.packed, y, s.scratch);
}

template <>
void conv2d_backward_data<Device::cpu>(const Conv2d& p, const float* dy, const float* w, float* dx,
                                       void* workspace, Stream) {
  const ConvPlan& plan = ConvPlan::get(p, ConvPass::backward_data, thread_count());
  const Scratch s(plan, workspace);
  plan.pack(w, p.c_out, p.c_in, s.packed, nullptr);
  plan.run(dx, s.packed, dy, s.scratch);
}

template <>
void conv2d_backward_weight<Device::cpu>(const Conv2d& p, const float* x, const float* dy,
                                         float* dw, void* workspace, Stream) {
  const ConvPlan& plan = ConvPlan::get(p, ConvPass::backward_weight, thread_count());
  const Scratch s(plan, workspace);
  plan.run(x, s.packed, dy, s.scratch);
  plan.unpack(s.packed, dw, p.c_out, p.c_in, nullptr);
}

}  // namespace drnas::kernels
