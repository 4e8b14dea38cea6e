// SPDX-License-Identifier: MIT
// Convolutions of images directly, all others by the vendor's library.
#include "kernels/layers/conv2d.h"

#include "kernels/layers/direct_conv.h"
#include "kernels/layers/vendor_conv2d.h"

namespace drnas::kernels {
namespace {

ConvRequest request_of(const Conv2d& p, ConvPass pass) {
  return {p, pass, conv_math() == ConvMath::tf32 ? ConvNumbers::tf32 : ConvNumbers::fp32};
}

}  // namespace

template <>
std::size_t conv2d_workspace<Device::cuda>(const Conv2d& p, ConvPass pass) {
  return direct_conv_takes(p, pass) ? direct_conv_workspace(p, pass)
                                    : vendor_conv2d_workspace(request_of(p, pass));
}

template <>
void conv2d_forward<Device::cuda>(const Conv2d& p, const float* x, const float* w, float* y,
                                  void* workspace, Stream stream) {
  if (direct_conv_takes(p, ConvPass::forward)) return direct_conv_forward(p, x, w, y, stream);
  vendor_conv2d(request_of(p, ConvPass::forward), x, w, y, workspace, stream);
}

template <>
void conv2d_backward_data<Device::cuda>(const Conv2d& p, const float* dy, const float* w, float* dx,
                                        void* workspace, Stream stream) {
  vendor_conv2d(request_of(p, ConvPass::backward_data), w, dy, dx, workspace, stream);
}

template <>
void conv2d_backward_weight<Device::cuda>(const Conv2d& p, const float* x, const float* dy,
                                          float* dw, void* workspace, Stream stream) {
  if (direct_conv_takes(p, ConvPass::backward_weight))
    return direct_conv_backward_weight(p, x, dy, dw, workspace, stream);
  vendor_conv2d(request_of(p, ConvPass::backward_weight), x, dy, dw, workspace, stream);
}

std::size_t conv2d_workspace_bfloat16(const Conv2d& p, ConvPass pass) {
  return vendor_conv2d_workspace({p, pass, ConvNumbers::bf16});
}

void conv2d_forward(const Conv2d& p, const bfloat16* x, const bfloat16* w, bfloat16* y,
                    void* workspace, Stream stream) {
  vendor_conv2d({p, ConvPass::forward, ConvNumbers::bf16}, x, w, y, workspace, stream);
}

void conv2d_backward_data(const Conv2d& p, const bfloat16* dy, const bfloat16* w, bfloat16* dx,
                          void* workspace, Stream stream) {
  vendor_conv2d({p, ConvPass::backward_data, ConvNumbers::bf16}, w, dy, dx, workspace, stream);
}

void conv2d_backward_weight(const Conv2d& p, const bfloat16* x, const bfloat16* dy, bfloat16* dw,
                            void* workspace, Stream stream) {
  vendor_conv2d({p, ConvPass::backward_weight, ConvNumbers::bf16}, x, dy, dw, workspace, stream);
}

}  // namespace drnas::kernels
