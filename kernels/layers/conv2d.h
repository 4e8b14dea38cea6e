// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/core/bfloat16.h"
#include "kernels/core/device.h"

namespace drnas::kernels {

/// A convolution on float32 NHWC tensors without bias: y[n,i,j,o] = sum x[n, i*stride + a -
/// padding, j*stride + b - padding, k] w[o,a,b,k]. x [n, h, w, c_in], y [n, out_h, out_w, c_out],
/// weights [c_out, kernel, kernel, c_in], all dense. On CUDA pointers are aligned to 16 bytes.
struct Conv2d {
  int n, h, w, c_in, c_out;
  int kernel, stride, padding;

  int out_h() const { return (h + 2 * padding - kernel) / stride + 1; }
  int out_w() const { return (w + 2 * padding - kernel) / stride + 1; }
  std::int64_t weight_count() const { return std::int64_t{c_out} * kernel * kernel * c_in; }
  /// Multiply-adds of one pass times two.
  double flops() const { return 2.0 * n * out_h() * out_w() * static_cast<double>(weight_count()); }
  auto operator<=>(const Conv2d&) const = default;
};

enum class ConvPass { forward, backward_data, backward_weight };

/// How CUDA multiplies float32: as it stands, or on tensor cores with operands rounded to 10 bits
/// of mantissa. Sums are float32 either way. The CPU ignores it.
enum class ConvMath { fp32, tf32 };
/// For the whole process, fp32 at first. Set it before workspaces are measured: the modes need
/// different ones.
void set_conv_math(ConvMath math);
ConvMath conv_math();

/// Whose convolutions and products CUDA runs: our own tiles, or those of the vendor's libraries;
/// those of images are always our own.
/// `automatic`: our own, but for batches of products, where the library is there. For the whole
/// process, automatic at first. Set it before workspaces are measured.
enum class ConvSource { automatic, own, vendor };
void set_conv_source(ConvSource source);
ConvSource conv_source();
/// Are tiles of our own wanted?
inline bool wants_tiles() { return conv_source() != ConvSource::vendor; }

/// Bytes of scratch (packed weights included) that one pass needs; 256-byte aligned by the caller.
template <Device D>
std::size_t conv2d_workspace(const Conv2d& p, ConvPass pass);

/// y overwritten.
template <Device D>
void conv2d_forward(const Conv2d& p, const float* x, const float* w, float* y, void* workspace,
                    Stream);
/// dx overwritten.
template <Device D>
void conv2d_backward_data(const Conv2d& p, const float* dy, const float* w, float* dx,
                          void* workspace, Stream);
/// dw overwritten.
template <Device D>
void conv2d_backward_weight(const Conv2d& p, const float* x, const float* dy, float* dw,
                            void* workspace, Stream);

// bfloat16 storage, float32 sums and gradients of weights, which the vendor's library rounds to
// bfloat16 on the way; in builds with CUDA only.
std::size_t conv2d_workspace_bfloat16(const Conv2d& p, ConvPass pass);
void conv2d_forward(const Conv2d& p, const bfloat16* x, const bfloat16* w, bfloat16* y,
                    void* workspace, Stream);
void conv2d_backward_data(const Conv2d& p, const bfloat16* dy, const bfloat16* w, bfloat16* dx,
                          void* workspace, Stream);
void conv2d_backward_weight(const Conv2d& p, const bfloat16* x, const bfloat16* dy, float* dw,
                            void* workspace, Stream);

}  // namespace drnas::kernels
