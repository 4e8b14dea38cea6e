// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/device.h"

namespace drnas::kernels {

/// y = x W^T + b: x [n, in], W [out, in], b [out] (may be null), y [n, out], dense float32.
struct Linear {
  int n, in, out;
};
template <Device D>
void linear_forward(const Linear& p, const float* x, const float* w, const float* b, float* y,
                    Stream);
/// dx = dy W; overwritten, or added to when `accumulate`.
template <Device D>
void linear_backward_data(const Linear& p, const float* dy, const float* w, float* dx,
                          bool accumulate, Stream);
/// dW = dy^T x and db = sum of dy over n (db may be null); overwritten.
template <Device D>
void linear_backward_weight(const Linear& p, const float* x, const float* dy, float* dw, float* db,
                            Stream);

}  // namespace drnas::kernels
