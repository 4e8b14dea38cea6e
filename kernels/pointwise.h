// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kernels/device.h"

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
/// False when any value is NaN or infinite.
template <Device D>
bool all_finite(std::int64_t count, const float* x, Stream);

}  // namespace drnas::kernels
