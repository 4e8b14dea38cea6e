// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kernels/device.h"

namespace drnas::kernels {

/// Sum of squares of `count` values, in blocks of fixed size added in order (independent of the
/// thread count).
template <Device D>
double sum_of_squares(std::int64_t count, const float* x, Stream);

/// One SGD step over a flat buffer, in PyTorch's order: g = clip*grad + weight_decay*w; m =
/// momentum*m + g (m = g at the first step, which a zero m gives as well); w -= learning_rate*m.
struct SgdStep {
  std::int64_t count;
  float learning_rate, momentum, weight_decay, clip;
  float *weights, *velocity;  ///< [count]
  const float* gradient;      ///< [count]
};
template <Device D>
void sgd_step(const SgdStep& p, Stream);

/// One Adam step in float64 (Kingma and Ba 2015, with PyTorch's coupled weight decay and eps
/// outside the root): g = grad + weight_decay*w; m, v moving averages; w -= lr * mhat / (sqrt(vhat)
/// + eps). `step` counts from 1.
struct AdamStep {
  std::int64_t count;
  double learning_rate, beta1, beta2, eps, weight_decay;
  std::int64_t step;
  double *weights, *first_moment, *second_moment;  ///< [count]
  const double* gradient;                          ///< [count]
};
template <Device D>
void adam_step(const AdamStep& p, Stream);

}  // namespace drnas::kernels
