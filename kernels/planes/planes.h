// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/core/device.h"
#include "kernels/core/gate_rows.h"
#include "kernels/core/host_device.h"

/// Activations of the DARTS space lie in planes, [n, c, h, w]: depthwise filters then work on whole
/// vectors of pixels whatever the number of channels, and a range of channels (partial channels,
/// one node of a cell's output) is a contiguous part of an image. `stride` counts elements from
/// image to image, c*h*w or more.
namespace drnas::kernels {

template <class T>
struct PlanesOf {
  T* data = nullptr;
  std::int64_t stride = 0;
};
using Planes = PlanesOf<float>;
using ConstPlanes = PlanesOf<const float>;

/// What batch normalisation keeps of a channel: mean and 1/sqrt(var + eps) of this pass, and
/// running statistics that training moves by `momentum` (unbiased variance). Running pointers may
/// be null in training. In evaluation mean and inv_std are written from the running statistics.
struct PlaneStatistics {
  float *mean = nullptr, *inv_std = nullptr;              ///< [c]
  float *running_mean = nullptr, *running_var = nullptr;  ///< [c] or null
  /// The operation's mixing weight, or null. Where it is zero the operation does not run: the
  /// running statistics stay, and on CUDA mean and inv_std are zero, and its results not there.
  const double* gate = nullptr;
};
struct NormMode {
  bool training = true;
  float eps = 1e-5f, momentum = 0.1f;
};

/// The gradient of a raw output after batch normalisation, applied on load:
///   dz[ch] = A[ch] g[ch*channel_step] + B[ch] z[ch] + C[ch]
/// g: planes of the destination's gradient; channel_step K takes every K-th plane (the channel
/// shuffle of partial channels). Coefficients [3, c]; null: dz = g, z unused. Where the operation's
/// mixing weight at `gate` (or null) is zero nothing of this need be there: dz is zero.
struct PlaneGradient {
  ConstPlanes g;
  int channel_step = 1;
  const float* coefficients = nullptr;
  const double* gate = nullptr;
};

/// NHWC [n, pixels, c] -> planes [n, c, pixels], overwritten.
template <Device D>
void to_planes(int n, int c, std::int64_t pixels, const float* x, Planes y, Stream);
/// Planes -> NHWC; adds to y where `accumulate`.
template <Device D>
void from_planes(int n, int c, std::int64_t pixels, ConstPlanes x, float* y, bool accumulate,
                 Stream);
/// y = x, or y += x where `accumulate`, for c planes an image. x may have stride 0: the same for
/// all.
template <Device D>
void copy_planes(int n, int c, std::int64_t pixels, ConstPlanes x, Planes y, bool accumulate,
                 Stream);
/// Mean over the pixels: planes [n, c, pixels] -> y [n, c].
template <Device D>
void average_planes_forward(int n, int c, std::int64_t pixels, ConstPlanes x, float* y, Stream);
/// dx overwritten.
template <Device D>
void average_planes_backward(int n, int c, std::int64_t pixels, const float* dy, Planes dx, Stream);

}  // namespace drnas::kernels
