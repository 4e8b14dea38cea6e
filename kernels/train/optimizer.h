// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/core/bfloat16.h"
#include "kernels/core/device.h"

namespace drnas::kernels {

/// Squared L2 norm of a float32 buffer and, where `extra` is given, a float64 one: blocks of fixed
/// size added in order (independent of the thread count).
struct SquaredNorm {
  std::int64_t count;
  const float* values;  ///< [count]
  std::int64_t extra_count;
  const double* extra;  ///< [extra_count], or null
  double* total;        ///< out [1]
};
template <Device D>
std::size_t squared_norm_workspace(const SquaredNorm& p);
template <Device D>
void squared_norm(const SquaredNorm& p, void* workspace, Stream);

/// One SGD step over a flat buffer, in PyTorch's order: g = clip*grad + weight_decay*w with clip =
/// min(1, max_norm / (norm + 1e-6)); m = momentum*m + g (m = g at the first step, which a zero m
/// gives as well); w -= learning_rate*m, with Nesterov's momentum w -= learning_rate*(g +
/// momentum*m). A norm that is not finite leaves everything as it was.
/// What changes from step to step is read from memory, so that a captured step can be replayed.
struct SgdStep {
  std::int64_t count;
  const double* learning_rate;  ///< [1]
  const double* squared_norm;   ///< [1]: of all gradients, see squared_norm()
  double max_norm;              ///< 0: no clipping
  float momentum, weight_decay;
  float *weights, *velocity;    ///< [count]
  const float* gradient;        ///< [count]
  bfloat16* rounded = nullptr;  ///< [count] out: the new weights in bfloat16; null: not wanted
  bool nesterov = false;
};
template <Device D>
void sgd_step(const SgdStep& p, Stream);

/// weights = from - rate (momentum velocity + gradient + weight_decay from): a step of SGD that
/// leaves the momentum as it is, or with neither momentum nor decay a shift along the gradient.
struct WeightShift {
  std::int64_t count;
  float rate, momentum, weight_decay;
  const float *from, *velocity, *gradient;  ///< [count]
  float* weights;                           ///< [count] out
  bfloat16* rounded = nullptr;              ///< as in SgdStep
};
template <Device D>
void shift_weights(const WeightShift& p, Stream);

/// Adam in float64 (Kingma and Ba 2015, with PyTorch's coupled weight decay and eps outside the
/// root): g = grad + weight_decay*w; m, v moving averages; w -= lr * mhat / (sqrt(vhat) + eps). See
/// alpha_step.h.
struct AdamRule {
  double learning_rate, beta1, beta2, eps, weight_decay;
  double max_norm = 0;  ///< of the gradient, to which it is scaled down before all else; 0: none
};

}  // namespace drnas::kernels
