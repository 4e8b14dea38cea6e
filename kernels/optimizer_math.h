// SPDX-License-Identifier: MIT
// Per-entry rules of optimizer.h, shared by the CPU loops and the CUDA kernels.
#pragma once

#include <cmath>

#include "kernels/host_device.h"
#include "kernels/optimizer.h"

namespace drnas::kernels {

/// Factor on gradients whose squared norm is given (PyTorch's clip_grad_norm_).
DRNAS_HD inline float clip_factor(double squared_norm, double max_norm) {
  const double factor = max_norm / (std::sqrt(squared_norm) + 1e-6);
  return max_norm > 0 && factor < 1.0 ? static_cast<float>(factor) : 1.0f;
}

/// Bias corrections of step number `step`, from 1.
struct AdamCorrection {
  double first, second;

  DRNAS_HD AdamCorrection(const AdamStep& p, std::int64_t step)
      : first(1.0 - std::pow(p.beta1, static_cast<double>(step))),
        second(1.0 - std::pow(p.beta2, static_cast<double>(step))) {}
};

DRNAS_HD inline void adam_entry(const AdamStep& p, const AdamCorrection& correction,
                                std::int64_t i) {
  const double g = p.gradient[i] + p.weight_decay * p.weights[i];
  double &m = p.first_moment[i], &v = p.second_moment[i];
  m = p.beta1 * m + (1.0 - p.beta1) * g;
  v = p.beta2 * v + (1.0 - p.beta2) * g * g;
  p.weights[i] -=
      p.learning_rate * (m / correction.first) / (std::sqrt(v / correction.second) + p.eps);
}

}  // namespace drnas::kernels
