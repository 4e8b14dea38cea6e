// SPDX-License-Identifier: MIT
// The normalisation of one channel on CUDA.
#pragma once

#include "kernels/planes/plane_device.h"
#include "kernels/planes/plane_norm.h"

namespace drnas::kernels {
namespace {

/// scale (x - mean) + shift: exactly `shift` at the mean.
struct ChannelAffine {
  float scale, mean, shift;

  __device__ ChannelAffine(const PlaneNormApply& p, int ch)
      : scale((p.gamma ? p.gamma[ch] : 1.0f) * p.inv_std[ch]),
        mean(p.mean[ch]),
        shift(p.beta ? p.beta[ch] : 0.0f) {}
  __device__ float operator()(float x) const { return fmaf(scale, x - mean, shift); }
};

__device__ inline float image_scale(const PlaneNormApply& p, int image) {
  return p.image_scale ? p.image_scale[image] : 1.0f;
}

}  // namespace
}  // namespace drnas::kernels
