// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "kernels/planes/planes.h"

namespace drnas::kernels {

/// Depthwise-separable convolutions of the DARTS space (Liu et al., ICLR 2019): a depthwise filter,
/// then a 1x1 convolution, as one kernel; the depthwise output never reaches memory (backward
/// rebuilds it). A call runs several filters on planes of one size:
///   u = max(0, x), or max(0, gamma (x - mean) inv_std + beta) where the input is normalised on
///   load d[ch, i, j] = sum_ab depthwise[ch, a, b] u[ch, i*stride + a*dilation - pad, j*stride +
///   ...] z[o] = sum_ch pointwise[o, ch] d[ch],      pad = dilation (kernel - 1)/2
/// Outputs have ceil(h/stride) x ceil(w/stride) pixels. A NaN in x reaches the outputs that read
/// it.
struct Separable {
  static constexpr int max_filters = 16;

  int n, c, h, w;
  int c_out;
  int stride;  ///< 1 or 2
  int filters;

  DRNAS_HD int out_h() const { return (h - 1) / stride + 1; }
  DRNAS_HD int out_w() const { return (w - 1) / stride + 1; }
};

/// What a filter reads. Filters that share x (and have no statistics) should be neighbours: it is
/// then loaded once.
struct SeparableInput {
  ConstPlanes x;                                    ///< [n, c, h, w]
  const float *mean = nullptr, *inv_std = nullptr;  ///< [c], or null: u = max(0, x)
  const float *gamma = nullptr, *beta = nullptr;    ///< [c] or null (1 and 0)
};

struct SeparableFilter {
  int kernel;    ///< 3, 5 or 7
  int dilation;  ///< 1 or 2
  SeparableInput in;
  const float* depthwise;  ///< [c, kernel, kernel]
  const float* pointwise;  ///< [c_out, c]
};

struct SeparableForward {
  Separable shape;
  SeparableFilter filter[Separable::max_filters];
  Planes z[Separable::max_filters];                    ///< [n, c_out, out_h, out_w], overwritten
  PlaneStatistics statistics[Separable::max_filters];  ///< of z, [c_out]
  NormMode mode;
};
template <Device D>
std::size_t separable_forward_workspace(const Separable& p);
/// Throws Error where sizes are outside the ranges above.
template <Device D>
void separable_forward(const SeparableForward& p, void* workspace, Stream);

/// Backward. Per filter, with dz from `gradient` and z:
///   dpointwise[o, ch] = sum dz[o] d[ch],   dd[ch] = sum_o pointwise[o, ch] dz[o]
///   ddepthwise[ch, a, b] = sum dd[ch, i, j] u[...],   du = sum_ab depthwise[a, b] dd[shifted]
///   dx = du where u > 0, else 0
/// dx: filters with the same dx.data (neighbours) are summed into it; `accumulate` adds to what is
/// there. Null where unwanted. For a normalised input dx is the gradient of gamma xhat + beta, and
/// `input_coefficients` [3, c] take A, B, C such that A dx + B x + C is the gradient of x itself;
/// dgamma, dbeta [c] where not null. Weight gradients are overwritten, null where unwanted. dx must
/// not overlap z, g or x. Deterministic for a fixed thread count.
/// A filter that does not run by the gate of its gradient has weight gradients of zero and adds
/// nothing to a dx that others share; of its normalised input nothing is left, on CUDA.
struct SeparableBackward {
  Separable shape;
  SeparableFilter filter[Separable::max_filters];
  ConstPlanes z[Separable::max_filters];
  PlaneGradient gradient[Separable::max_filters];
  Planes dx[Separable::max_filters];
  bool accumulate = false;
  float* input_coefficients[Separable::max_filters] = {};
  float *dgamma[Separable::max_filters] = {}, *dbeta[Separable::max_filters] = {};
  float *ddepthwise[Separable::max_filters] = {}, *dpointwise[Separable::max_filters] = {};
  bool fixed_statistics = false;  ///< of a normalised input: B = C = 0

  /// Values of a channel of the input, which its coefficients divide by.
  DRNAS_HD double count() const {
    return fixed_statistics ? HUGE_VAL : static_cast<double>(shape.n) * shape.h * shape.w;
  }
};
template <Device D>
std::size_t separable_backward_workspace(const Separable& p);
template <Device D>
void separable_backward(const SeparableBackward& p, void* workspace, Stream);

}  // namespace drnas::kernels
