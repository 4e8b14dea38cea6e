// SPDX-License-Identifier: MIT
// What one entry of alpha_step.h needs, shared by the CPU loops and the CUDA kernel.
#pragma once

#include <cmath>

#include "kernels/alpha/alpha_step.h"
#include "kernels/alpha/dirichlet_row.h"
#include "kernels/train/optimizer_math.h"

namespace drnas::kernels {

/// The first part as a call of its own.
DRNAS_HD inline DirichletBackward draw_gradient(const AlphaStep& p) {
  return {p.dtheta,     p.alpha,     p.kept,     p.concentration, p.theta,
          p.derivative, p.raw_theta, p.gradient, p.edges,         p.ops};
}

/// Adds the divergence's gradient of one entry.
DRNAS_HD inline void add_kl_gradient(const AlphaStep& p, int edge, int op) {
  const int row = edge * p.ops, i = row + op;
  p.gradient[i] += p.kl * concentration_slope(p.alpha[i], p.concentration[i]) *
                   kl_to_uniform_slope(p.concentration + row, p.ops, op);
}

/// Bias corrections of step number `step`, from 1.
struct AdamCorrection {
  double first, second;

  DRNAS_HD AdamCorrection(const AdamRule& rule, std::int64_t step)
      : first(1.0 - std::pow(rule.beta1, static_cast<double>(step))),
        second(1.0 - std::pow(rule.beta2, static_cast<double>(step))) {}
};

DRNAS_HD inline void adam_entry(const AlphaStep& p, const AdamCorrection& correction, double clip,
                                int i) {
  const double g = clip * p.gradient[i] + p.rule.weight_decay * p.alpha[i];
  double &m = p.first_moment[i], &v = p.second_moment[i];
  m = p.rule.beta1 * m + (1.0 - p.rule.beta1) * g;
  v = p.rule.beta2 * v + (1.0 - p.rule.beta2) * g * g;
  p.alpha[i] -= p.rule.learning_rate * (m / correction.first) /
                (std::sqrt(v / correction.second) + p.rule.eps);
}

}  // namespace drnas::kernels
