// SPDX-License-Identifier: MIT
// Reductions over the 32 lanes of a warp in a fixed order; every lane calls them and gets the
// result.
#pragma once

#include "kernels/core/launch.h"

namespace drnas::kernels {

template <class T>
__device__ inline T warp_sum(T value) {
  for (int other = warp_lanes / 2; other > 0; other /= 2)
    value += __shfl_xor_sync(full_warp, value, other);
  return value;
}

/// A NaN counts as less than everything.
__device__ inline float warp_max(float value) {
  for (int other = warp_lanes / 2; other > 0; other /= 2)
    value = fmaxf(value, __shfl_xor_sync(full_warp, value, other));
  return value;
}

}  // namespace drnas::kernels
