// SPDX-License-Identifier: MIT
#include "kernels/optimizer.h"

#include <algorithm>
#include <cmath>

#include "kernels/parallel.h"

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
double sum_of_squares<Device::cpu>(std::int64_t count, const float* x, Stream) {
  double sum = 0;
  for (std::int64_t first = 0; first < count; first += square_block)
    sum += block_squares(x + first, std::min(square_block, count - first));
  return sum;
}

template <>
void sgd_step<Device::cpu>(const SgdStep& p, Stream) {
  parallel_ranges(p.count, [&](int, std::int64_t begin, std::int64_t end) {
    float* __restrict weights = p.weights, * __restrict velocity = p.velocity;
    const float* __restrict gradient = p.gradient;
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) {
      velocity[i] = p.momentum * velocity[i] + (p.clip * gradient[i] + p.weight_decay * weights[i]);
      weights[i] -= p.learning_rate * velocity[i];
    }
  });
}

template <>
void adam_step<Device::cpu>(const AdamStep& p, Stream) {
  const double correction1 = 1.0 - std::pow(p.beta1, static_cast<double>(p.step)),
               correction2 = 1.0 - std::pow(p.beta2, static_cast<double>(p.step));
  for (std::int64_t i = 0; i < p.count; ++i) {
    const double g = p.gradient[i] + p.weight_decay * p.weights[i];
    double &m = p.first_moment[i], &v = p.second_moment[i];
    m = p.beta1 * m + (1.0 - p.beta1) * g;
    v = p.beta2 * v + (1.0 - p.beta2) * g * g;
    p.weights[i] -= p.learning_rate * (m / correction1) / (std::sqrt(v / correction2) + p.eps);
  }
}

}  // namespace drnas::kernels
