// SPDX-License-Identifier: MIT
// The normalisation of one channel on CUDA.
#pragma once

#include "kernels/planes/plane_device.h"
#include "kernels/planes/plane_norm.h"

namespace drnas::kernels {
namespace {

/// scale (x - mean) + shift: exactly `shift` at the mean.
struct ChannelAffine {
  float inv_std, scale, mean, shift;

  __device__ ChannelAffine(const PlaneNormApply& p, int ch)
      : inv_std(p.inv_std ? p.inv_std[ch] : 1.0f),
        scale((p.gamma ? p.gamma[ch] : 1.0f) * inv_std),
        mean(p.mean ? p.mean[ch] : 0.0f),
        shift(p.beta ? p.beta[ch] : 0.0f) {}
  __device__ float operator()(float x) const { return fmaf(scale, x - mean, shift); }
};

__device__ inline float image_scale(const PlaneNormApply& p, int image) {
  return p.image_scale ? p.image_scale[image] : 1.0f;
}

}  // namespace
}  // namespace drnas::kernels
