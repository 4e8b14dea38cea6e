// SPDX-License-Identifier: MIT
// Windows of pools on planes, for CPU and CUDA.
#pragma once

#include <string>

#include "kernels/core/error.h"
#include "kernels/planes/plane_pool.h"

namespace drnas::kernels {

inline constexpr int largest_pool_kernel = 64;

inline void check_pool(const PlanePool& p) {
  if (p.kernel < 1 || p.kernel > largest_pool_kernel || p.stride < 1 || p.padding < 0 ||
      2 * p.padding > p.kernel)
    throw Error("plane_pool: kernel " + std::to_string(p.kernel) + ", stride " +
                std::to_string(p.stride) + ", padding " + std::to_string(p.padding) +
                ", expected a kernel of 1 to " + std::to_string(largest_pool_kernel) +
                ", stride 1 or more, padding up to half of the kernel");
  if (p.out_h() < 1 || p.out_w() < 1)
    throw Error("plane_pool: images of " + std::to_string(p.h) + "x" + std::to_string(p.w) +
                ", expected no less than the window");
}

/// Kernel size and stride: the template's where not zero, so that loops unroll. All along one axis.
template <int K, int S>
struct PoolWindow {
  DRNAS_HD static int kernel(const PlanePool& p) { return K ? K : p.kernel; }
  DRNAS_HD static int stride(const PlanePool& p) { return S ? S : p.stride; }
  /// Pixels inside the image that output i sees.
  DRNAS_HD static int begin(const PlanePool& p, int i) {
    const int at = i * stride(p) - p.padding;
    return at > 0 ? at : 0;
  }
  DRNAS_HD static int end(const PlanePool& p, int i, int size) {
    const int at = i * stride(p) - p.padding + kernel(p);
    return at < size ? at : size;
  }
  DRNAS_HD static int count(const PlanePool& p, int i, int size) {
    return end(p, i, size) - begin(p, i);
  }
  /// Outputs that see pixel u.
  DRNAS_HD static int first_output(const PlanePool& p, int u) {
    const int past = u + p.padding - kernel(p);  // the last output before starts here or earlier
    return past < 0 ? 0 : past / stride(p) + 1;
  }
  DRNAS_HD static int end_output(const PlanePool& p, int u, int outputs) {
    const int end = (u + p.padding) / stride(p) + 1;
    return end < outputs ? end : outputs;
  }
};

/// Calls body.template operator()<W>() with the PoolWindow for these parameters.
template <class Body>
void dispatch_window(const PlanePool& p, const Body& body) {
  if (p.kernel == 3 && p.stride == 1) return body.template operator()<PoolWindow<3, 1>>();
  if (p.kernel == 3 && p.stride == 2) return body.template operator()<PoolWindow<3, 2>>();
  if (p.kernel == 2 && p.stride == 2) return body.template operator()<PoolWindow<2, 2>>();
  body.template operator()<PoolWindow<0, 0>>();
}

/// The larger number; a NaN stays.
DRNAS_HD inline float larger_of(float a, float b) {
  const bool take = (b > a) | (b != b);
  return take ? b : a;
}

}  // namespace drnas::kernels
