// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/core/bfloat16.h"
#include "kernels/core/device.h"
#include "kernels/core/host_device.h"

namespace drnas::kernels {

/// Batch normalisation over M = pixels values a channel, y = gamma (x - mean)/sqrt(var + eps) +
/// beta, then max(0, y) when `relu` (Ioffe and Szegedy 2015). gamma and beta may be null (1 and 0).
/// Tensors are dense [pixels, channels] float32, or bfloat16 on CUDA; everything else is float32.
/// Statistics by (count, mean, M2) merged in a fixed order (Chan et al. 1983), independent of the
/// thread count. Running statistics move by `momentum`, the variance in its unbiased form M/(M-1);
/// null leaves them alone. Saved for backward: x, mean, inv_std (and gamma, beta).
struct BatchNorm {
  std::int64_t pixels;
  int channels;
  bool relu;
  float eps, momentum;
  const float *gamma, *beta;          ///< [channels] or null
  float *running_mean, *running_var;  ///< [channels] or null
  bool fixed = false;  ///< backward: mean and inv_std do not depend on x (they are running ones)

  /// M of the gradient's formula: without end where the statistics are fixed.
  DRNAS_HD double count() const { return fixed ? HUGE_VAL : static_cast<double>(pixels); }
};
/// Bytes of scratch that forward and backward need.
template <Device D>
std::size_t batch_norm_workspace(const BatchNorm& p);
/// Training form: batch statistics; writes mean and inv_std [channels].
template <Device D>
void batch_norm_forward(const BatchNorm& p, const float* x, float* y, float* mean, float* inv_std,
                        void* workspace, Stream);
/// Evaluation form: running statistics. `added` [pixels, channels] comes on top where not null.
template <Device D>
void batch_norm_inference(const BatchNorm& p, const float* x, const float* added, float* y,
                          void* workspace, Stream);
/// mean and inv_std [channels] of the running statistics, as the backward pass takes them.
template <Device D>
void running_statistics(const BatchNorm& p, float* mean, float* inv_std, Stream);
/// dx, and dgamma, dbeta where not null. `accumulate` adds to dx instead of overwriting it; dgamma
/// and dbeta are overwritten. dx = gamma inv_std (dy' - sum(dy')/M - xhat sum(dy' xhat)/M), dy' =
/// dy masked by the recomputed ReLU.
template <Device D>
void batch_norm_backward(const BatchNorm& p, const float* x, const float* dy, const float* mean,
                         const float* inv_std, float* dx, bool accumulate, float* dgamma,
                         float* dbeta, void* workspace, Stream);

/// The same on bfloat16: CUDA only. The workspace is the same.
template <Device D>
void batch_norm_forward(const BatchNorm& p, const bfloat16* x, bfloat16* y, float* mean,
                        float* inv_std, void* workspace, Stream);
template <Device D>
void batch_norm_inference(const BatchNorm& p, const bfloat16* x, const bfloat16* added, bfloat16* y,
                          void* workspace, Stream);
template <Device D>
void batch_norm_backward(const BatchNorm& p, const bfloat16* x, const bfloat16* dy,
                         const float* mean, const float* inv_std, bfloat16* dx, bool accumulate,
                         float* dgamma, float* dbeta, void* workspace, Stream);

/// Mean and sum of squared deviations (M2) of each channel of x [pixels, channels] with pixel
/// stride `stride`. On the calling thread alone: convolution bundles use it image by image.
void channel_moments(const float* x, std::int64_t pixels, std::int64_t stride, int channels,
                     float* mean, float* m2);

}  // namespace drnas::kernels
