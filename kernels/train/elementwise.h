// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kernels/core/bfloat16.h"
#include "kernels/core/device.h"

namespace drnas::kernels {

/// y = max(0, x); relu'(0) = 0.
template <Device D>
void relu_forward(std::int64_t count, const float* x, float* y, Stream);
/// dx = dy where x > 0, else 0; added to dx when `accumulate`. dx may be dy when not accumulating.
template <Device D>
void relu_backward(std::int64_t count, const float* x, const float* dy, float* dx, bool accumulate,
                   Stream);
/// y = a + b; y may be a or b.
template <Device D>
void add(std::int64_t count, const float* a, const float* b, float* y, Stream);
/// The same of a table in float64.
template <Device D>
void add(std::int64_t count, const double* a, const double* b, double* y, Stream);
/// y = value.
template <Device D>
void fill(std::int64_t count, float value, float* y, Stream);
/// Adds one to each of `count` counters.
template <Device D>
void increment(int count, std::uint32_t* counters, Stream);
/// *counter = value, in the order of the stream: the host does not wait.
template <Device D>
void set_counter(std::uint32_t value, std::uint32_t* counter, Stream);
/// Waits for the result: not while a step is captured. False when any value is NaN or infinite.
template <Device D>
bool all_finite(std::int64_t count, const float* x, Stream);

// On bfloat16: CUDA only.
template <Device D>
void relu_forward(std::int64_t count, const bfloat16* x, bfloat16* y, Stream);
template <Device D>
void relu_backward(std::int64_t count, const bfloat16* x, const bfloat16* dy, bfloat16* dx,
                   bool accumulate, Stream);
template <Device D>
void add(std::int64_t count, const bfloat16* a, const bfloat16* b, bfloat16* y, Stream);
template <Device D>
bool all_finite(std::int64_t count, const bfloat16* x, Stream);
/// to = from, rounded to the nearest (ties to even).
template <Device D>
void cast(std::int64_t count, const float* from, bfloat16* to, Stream);
/// to = from, exactly.
template <Device D>
void cast(std::int64_t count, const bfloat16* from, float* to, Stream);

}  // namespace drnas::kernels
