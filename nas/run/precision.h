// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "engine/tensor.h"

namespace drnas {

/// Storage type of activations that --precision asks for on this device, and whether convolutions
/// multiply in TF32: auto takes bf16 on CUDA where the channels are a multiple of eight, as tensor
/// cores want them. Throws Error where the device cannot.
struct Precision {
  DType storage = DType::f32;
  bool tf32 = false;
};
Precision choose_precision(const std::string& name, Device device, int channels);
/// Makes this process's convolutions multiply so, by whom --conv names: own, cudnn or auto. Before
/// memory is planned: the modes need different workspaces. Throws Error where the device or the
/// build lacks them.
void set_convolutions(const Precision& precision, const std::string& conv, Device device);

}  // namespace drnas
