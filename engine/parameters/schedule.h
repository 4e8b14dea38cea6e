// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <numbers>

namespace drnas {

/// Cosine schedule, constant within an epoch: lr_e = min + (base - min)(1 + cos(pi e/E))/2
/// (Loshchilov and Hutter 2017).
inline double cosine_learning_rate(double base, double minimum, int epoch, int epochs) {
  return minimum + (base - minimum) * (1.0 + std::cos(std::numbers::pi * epoch / epochs)) / 2.0;
}

}  // namespace drnas
