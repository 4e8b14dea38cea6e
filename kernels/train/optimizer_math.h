// SPDX-License-Identifier: MIT
// Per-entry rules of optimizer.h, shared by the CPU loops and the CUDA kernels.
#pragma once

#include <cmath>

#include "kernels/core/host_device.h"
#include "kernels/train/optimizer.h"

namespace drnas::kernels {

/// Factor on gradients whose squared norm is given (PyTorch's clip_grad_norm_).
DRNAS_HD inline double clip_factor(double squared_norm, double max_norm) {
  const double factor = max_norm / (std::sqrt(squared_norm) + 1e-6);
  return max_norm > 0 && factor < 1.0 ? factor : 1.0;
}

DRNAS_HD inline float shifted_weight(const WeightShift& p, std::int64_t i) {
  const float w = p.from[i];
  return w - p.rate * (p.momentum * p.velocity[i] + (p.gradient[i] + p.weight_decay * w));
}

}  // namespace drnas::kernels
