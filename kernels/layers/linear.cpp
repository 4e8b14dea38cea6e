// SPDX-License-Identifier: MIT
#include "kernels/layers/linear.h"

#include <algorithm>

namespace drnas::kernels {

// The classifier is 64 x 64 x 10: loops that vectorise over `in` are all it needs.

template <>
void linear_forward<Device::cpu>(const Linear& p, const float* x, const float* w, const float* b,
                                 float* y, Stream) {
  for (int i = 0; i < p.n; ++i)
    for (int o = 0; o < p.out; ++o) {
      const float* __restrict row = x + std::ptrdiff_t{i} * p.in, * __restrict weight =
                                                                      w + std::ptrdiff_t{o} * p.in;
      float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
      for (int k = 0; k < p.in; ++k) sum += row[k] * weight[k];
      y[std::ptrdiff_t{i} * p.out + o] = sum + (b ? b[o] : 0.0f);
    }
}

template <>
void linear_backward_data<Device::cpu>(const Linear& p, const float* dy, const float* w, float* dx,
                                       bool accumulate, Stream) {
  for (int i = 0; i < p.n; ++i) {
    float* __restrict out = dx + std::ptrdiff_t{i} * p.in;
    if (!accumulate) std::fill_n(out, p.in, 0.0f);
    for (int o = 0; o < p.out; ++o) {
      const float d = dy[std::ptrdiff_t{i} * p.out + o];
      const float* __restrict weight = w + std::ptrdiff_t{o} * p.in;
#pragma omp simd
      for (int k = 0; k < p.in; ++k) out[k] += d * weight[k];
    }
  }
}

template <>
void linear_backward_weight<Device::cpu>(const Linear& p, const float* x, const float* dy,
                                         float* dw, float* db, Stream) {
  std::fill_n(dw, std::ptrdiff_t{p.out} * p.in, 0.0f);
  if (db) std::fill_n(db, p.out, 0.0f);
  for (int i = 0; i < p.n; ++i)
    for (int o = 0; o < p.out; ++o) {
      const float d = dy[std::ptrdiff_t{i} * p.out + o];
      const float* __restrict row = x + std::ptrdiff_t{i} * p.in;
      float* __restrict out = dw + std::ptrdiff_t{o} * p.in;
      if (db) db[o] += d;
#pragma omp simd
      for (int k = 0; k < p.in; ++k) out[k] += d * row[k];
    }
}

}  // namespace drnas::kernels
