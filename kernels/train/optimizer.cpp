// SPDX-License-Identifier: MIT
#include "kernels/train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "kernels/core/parallel.h"
#include "kernels/train/optimizer_math.h"

namespace drnas::kernels {
namespace {

/// Values whose squares are added in float before they meet a double.
constexpr std::int64_t square_block = 256;

double block_squares(const float* x, std::int64_t count) {
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < count; ++i) sum += x[i] * x[i];
  return sum;
}

}  // namespace

template <>
std::size_t squared_norm_workspace<Device::cpu>(const SquaredNorm&) {
  return 0;
}

template <>
void squared_norm<Device::cpu>(const SquaredNorm& p, void*, Stream) {
  double sum = 0;
  for (std::int64_t first = 0; first < p.count; first += square_block)
    sum += block_squares(p.values + first, std::min(square_block, p.count - first));
  for (std::int64_t i = 0; p.extra && i < p.extra_count; ++i) sum += p.extra[i] * p.extra[i];
  *p.total = sum;
}

template <>
void sgd_step<Device::cpu>(const SgdStep& p, Stream) {
  if (!std::isfinite(*p.squared_norm)) return;
  const float clip = static_cast<float>(clip_factor(*p.squared_norm, p.max_norm));
  const float learning_rate = static_cast<float>(*p.learning_rate);
  parallel_ranges(p.count, [&](int, std::int64_t begin, std::int64_t end) {
    float* __restrict weights = p.weights, * __restrict velocity = p.velocity;
    const float* __restrict gradient = p.gradient;
    if (p.nesterov) {
#pragma omp simd
      for (std::int64_t i = begin; i < end; ++i) {
        const float g = clip * gradient[i] + p.weight_decay * weights[i];
        velocity[i] = p.momentum * velocity[i] + g;
        weights[i] -= learning_rate * (g + p.momentum * velocity[i]);
      }
    } else {
#pragma omp simd
      for (std::int64_t i = begin; i < end; ++i) {
        velocity[i] = p.momentum * velocity[i] + (clip * gradient[i] + p.weight_decay * weights[i]);
        weights[i] -= learning_rate * velocity[i];
      }
    }
    for (std::int64_t i = begin; p.rounded && i < end; ++i) p.rounded[i] = bfloat16(weights[i]);
  });
}

template <>
void shift_weights<Device::cpu>(const WeightShift& p, Stream) {
  parallel_ranges(p.count, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      p.weights[i] = shifted_weight(p, i);
      if (p.rounded) p.rounded[i] = bfloat16(p.weights[i]);
    }
  });
}

}  // namespace drnas::kernels
