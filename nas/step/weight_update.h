// SPDX-License-Identifier: MIT
#pragma once

#include "engine/parameters/parameters.h"

namespace drnas {

/// How a network's weights move: see kernels::SgdStep.
struct SgdRule {
  float momentum = 0.9f, weight_decay = 3e-4f;
  double grad_clip = 5.0;  ///< by the L2 norm of all weight gradients; 0 means none
  bool nesterov = false;
};

/// Writes the squared norm of all gradients and of the float64 table `extra` (may be empty) to
/// `squared_norm`, also for the host to see whether they are finite, then takes one step at
/// `learning_rate` if they are; both [1] float64 in the device's memory.
void update_weights(const ParameterStore& store, const SgdRule& rule, const Tensor& learning_rate,
                    const Tensor& squared_norm, const Tensor& extra = {});

}  // namespace drnas
