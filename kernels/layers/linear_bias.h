// SPDX-License-Identifier: MIT
// The parts of a linear layer on CUDA that are not matrix products. Deterministic.
#pragma once

#include "kernels/layers/linear.h"

namespace drnas::kernels {

/// y[i, o] += b[o] for every row i; y [n, out], b [out].
void linear_add_bias(const Linear& p, const float* b, float* y, Stream stream);
/// db[o] = sum over i of dy[i, o]; overwritten. dy [n, out], db [out].
void linear_bias_gradient(const Linear& p, const float* dy, float* db, Stream stream);

}  // namespace drnas::kernels
