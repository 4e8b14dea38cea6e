// SPDX-License-Identifier: MIT
#include "kernels/train/elementwise.h"

#include <bit>

#include <algorithm>

#include "kernels/core/parallel.h"

namespace drnas::kernels {

template <>
void relu_forward<Device::cpu>(std::int64_t count, const float* x, float* y, Stream) {
  parallel_ranges(count, [&](int, std::int64_t begin, std::int64_t end) {
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) y[i] = x[i] < 0.0f ? 0.0f : x[i];
  });
}

template <>
void relu_backward<Device::cpu>(std::int64_t count, const float* x, const float* dy, float* dx,
                                bool accumulate, Stream) {
  parallel_ranges(count, [&](int, std::int64_t begin, std::int64_t end) {
    if (accumulate) {
#pragma omp simd
      for (std::int64_t i = begin; i < end; ++i) {
        const float g = dy[i];
        dx[i] += x[i] > 0.0f ? g : 0.0f;
      }
    } else {
#pragma omp simd
      for (std::int64_t i = begin; i < end; ++i) {
        const float g = dy[i];
        dx[i] = x[i] > 0.0f ? g : 0.0f;
      }
    }
  });
}

template <>
void add<Device::cpu>(std::int64_t count, const float* a, const float* b, float* y, Stream) {
  parallel_ranges(count, [&](int, std::int64_t begin, std::int64_t end) {
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) y[i] = a[i] + b[i];
  });
}

template <>
void add<Device::cpu>(std::int64_t count, const double* a, const double* b, double* y, Stream) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = a[i] + b[i];
}

template <>
void fill<Device::cpu>(std::int64_t count, float value, float* y, Stream) {
  std::fill_n(y, count, value);
}

template <>
void increment<Device::cpu>(int count, std::uint32_t* counters, Stream) {
  for (int i = 0; i < count; ++i) ++counters[i];
}

template <>
void set_counter<Device::cpu>(std::uint32_t value, std::uint32_t* counter, Stream) {
  *counter = value;
}

template <>
bool all_finite<Device::cpu>(std::int64_t count, const float* x, Stream) {
  constexpr std::uint32_t exponent = 0x7f800000u;
  std::uint32_t bad = 0;
  // Vectors come by themselves; told so by `simd`, Clang 14 loses the result at -O1.
#pragma omp parallel for schedule(static) reduction(| : bad)
  for (std::int64_t i = 0; i < count; ++i)
    bad |= static_cast<std::uint32_t>((std::bit_cast<std::uint32_t>(x[i]) & exponent) == exponent);
  return bad == 0;
}

}  // namespace drnas::kernels
