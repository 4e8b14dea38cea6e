// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kernels/core/bfloat16.h"
#include "kernels/core/device.h"
#include "kernels/core/host_device.h"

namespace drnas::kernels {

/// Pooling of dense NHWC float32, or on CUDA bfloat16. Average pooling divides by the number of
/// pixels inside the image (count_include_pad = false). Max pooling keeps the first maximum in
/// row-major window order, recomputed in backward.
struct Pool2d {
  int n, h, w, c;
  int kernel, stride, padding;
  bool max;
  DRNAS_HD int out_h() const { return (h + 2 * padding - kernel) / stride + 1; }
  DRNAS_HD int out_w() const { return (w + 2 * padding - kernel) / stride + 1; }
};
template <Device D>
void pool2d_forward(const Pool2d& p, const float* x, float* y, Stream);
/// dx overwritten, or added to when `accumulate`. x is read for max pooling only.
template <Device D>
void pool2d_backward(const Pool2d& p, const float* x, const float* dy, float* dx, bool accumulate,
                     Stream);
/// The same on bfloat16: CUDA only.
template <Device D>
void pool2d_forward(const Pool2d& p, const bfloat16* x, bfloat16* y, Stream);
template <Device D>
void pool2d_backward(const Pool2d& p, const bfloat16* x, const bfloat16* dy, bfloat16* dx,
                     bool accumulate, Stream);

/// Mean over the h*w pixels of each image: x [n, pixels, c] -> y [n, c].
template <Device D>
void global_average_forward(int n, std::int64_t pixels, int c, const float* x, float* y, Stream);
template <Device D>
void global_average_backward(int n, std::int64_t pixels, int c, const float* dy, float* dx,
                             bool accumulate, Stream);
/// The same with x and dx in bfloat16: CUDA only.
template <Device D>
void global_average_forward(int n, std::int64_t pixels, int c, const bfloat16* x, float* y, Stream);
template <Device D>
void global_average_backward(int n, std::int64_t pixels, int c, const float* dy, bfloat16* dx,
                             bool accumulate, Stream);

}  // namespace drnas::kernels
