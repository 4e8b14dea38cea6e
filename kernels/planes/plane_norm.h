// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "kernels/planes/planes.h"

namespace drnas::kernels {

/// Batch normalisation on planes [n, c, pixels] (see batch_norm.h for NHWC): y = gamma (x - mean)
/// inv_std + beta. gamma and beta may be null (1 and 0). Statistics by (count, mean, M2) merged in
/// a fixed order.
struct PlaneNorm {
  int n, c;
  std::int64_t pixels;
};
template <Device D>
std::size_t plane_norm_workspace(const PlaneNorm& p);
/// Mean and 1/std of x, running statistics moved; in evaluation taken from the running statistics.
template <Device D>
void plane_moments(const PlaneNorm& p, ConstPlanes x, const PlaneStatistics& statistics,
                   const NormMode& mode, void* workspace, Stream);
/// y = (overwrite, or += where accumulate) scale_n (gamma (x - mean) inv_std + beta), then max(0,
/// y) where relu. mean and inv_std null: 0 and 1, x is normalised. `image_scale` [n] or null (1):
/// drop path gives each image 0 or 1/keep.
struct PlaneNormApply {
  PlaneNorm shape;
  ConstPlanes x;
  const float *mean, *inv_std, *gamma, *beta;
  const float* image_scale;
  bool relu, accumulate;
};
template <Device D>
void plane_norm_apply(const PlaneNormApply& p, Planes y, Stream);
/// Reductions of the backward pass. With dy' = scale_n dy (masked by the recomputed ReLU where
/// relu): dbeta = sum dy', dgamma = sum dy' xhat, and A, B, C [3, c] such that
/// dx = A dy' + B x + C is the gradient of x. dgamma and dbeta overwritten, or null. dx (null: not
/// wanted) takes the gradient, overwritten or added to.
struct PlaneNormBackward {
  PlaneNormApply apply;  ///< `accumulate` is unused
  ConstPlanes dy;
  float* coefficients;  ///< [3, c]
  float *dgamma, *dbeta;
  Planes dx;
  bool accumulate;
  bool fixed_statistics = false;  ///< they do not depend on x: counts as infinitely many values

  DRNAS_HD double count() const {
    return fixed_statistics
               ? HUGE_VAL
               : static_cast<double>(apply.shape.n) * static_cast<double>(apply.shape.pixels);
  }
};
template <Device D>
std::size_t plane_norm_backward_workspace(const PlaneNorm& p);
template <Device D>
void plane_norm_backward(const PlaneNormBackward& p, void* workspace, Stream);

/// dz [n, c, pixels] = A g + B z + C written out (see PlaneGradient), overwritten; where
/// gradient.gate is zero it is left, on CUDA.
template <Device D>
void plane_gradient(const PlaneNorm& p, const PlaneGradient& gradient, ConstPlanes z, Planes dz,
                    Stream);

}  // namespace drnas::kernels
