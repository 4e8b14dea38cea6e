// SPDX-License-Identifier: MIT
#include "nas/run/precision.h"

#include "engine/gpu.h"
#include "kernels/layers/conv2d.h"

namespace drnas {

Precision choose_precision(const std::string& name, Device device, int channels) {
  const bool gpu = device == Device::cuda;
  if (!gpu && (name == "tf32" || name == "bf16"))
    throw Error("--precision " + name + ": needs --device cuda, expected fp32 or auto on the CPU");
  const bool half = name == "bf16" || (name == "auto" && gpu && channels % 8 == 0);
  return {half ? DType::bf16 : DType::f32, name == "tf32"};
}

void set_convolutions(const Precision& precision, const std::string& conv, Device device) {
  using kernels::ConvSource;
  if (conv == "cudnn" && device != Device::cuda)
    throw Error("--conv cudnn: needs --device cuda, expected auto on the CPU");
  if (conv == "cudnn" && !has_vendor_libraries())
    throw Error("--conv cudnn: this build is without cuDNN and cuBLAS, expected own or auto");
  kernels::set_conv_source(conv == "cudnn" ? ConvSource::vendor
                           : conv == "own" ? ConvSource::own
                                           : ConvSource::automatic);
  kernels::set_conv_math(precision.tf32 ? kernels::ConvMath::tf32 : kernels::ConvMath::fp32);
}

}  // namespace drnas
