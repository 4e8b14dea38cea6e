// SPDX-License-Identifier: MIT
// How the CPU twins of conv_bundle split a batch: every thread walks over chunks of whole images
// that stay in its L2 cache from the rectified input to the channel statistics (forward) or from dz
// to dx and dW (backward).
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/bundle/bundle_convolution.h"
#include "kernels/bundle/conv_bundle.h"
#include "kernels/core/carver.h"
#include "kernels/core/simd.h"

namespace drnas::kernels {

struct BundleChunk {
  int images;  ///< in one chunk; divides n
  int c_pad;   ///< channels of u and du in memory, zero-padded
  ConvBundle bundle;

  explicit BundleChunk(const ConvBundle& b)
      : c_pad(static_cast<int>(round_up(b.c, ConvPlan::channel_multiple))), bundle(b) {
    constexpr std::int64_t cache_floats = 96 * 1024;  // 384 KiB of a 512 KiB L2
    std::int64_t pixel_floats = c_pad;
    for (int s = 0; s < b.sizes; ++s) pixel_floats += b.z_channels(s);
    const std::int64_t image_floats = std::int64_t{b.h} * b.w * pixel_floats;
    const std::int64_t limit = std::max<std::int64_t>(1, cache_floats / image_floats);
    const int threads = thread_count();
    images = 1;
    bool balanced = b.n % threads == 0;
    for (int k = 2; k <= std::min<std::int64_t>(limit, b.n); ++k)
      if (b.n % k == 0 && (!balanced || (b.n / k) % threads == 0)) images = k;
  }
  int count() const { return bundle.n / images; }
  std::int64_t image_pixels() const { return std::int64_t{bundle.h} * bundle.w; }
  std::int64_t pixels() const { return images * image_pixels(); }
  Conv2d conv(int size) const {
    return {images,
            bundle.h,
            bundle.w,
            c_pad,
            bundle.z_channels(size),
            bundle.kernel[size],
            1,
            bundle.kernel[size] / 2};
  }
  BundleConvolution plan(int size, ConvPass pass) const { return {conv(size), pass}; }
};

/// u [pixels, c_pad] = max(0, first c channels of x), zeros in the padding.
inline void rectify_pixels(const ConvBundle& b, const float* x, std::int64_t pixels, int c_pad,
                           float* u) {
  dispatch_lanes(b.c, [&]<int V>() {
    for (std::int64_t p = 0; p < pixels; ++p) {
      for (int cb = 0; cb < b.c; cb += V)
        store<V>(u + p * c_pad + cb, rectify<V>(load<V>(x + p * b.x_channels + cb)));
      for (int cb = b.c; cb < c_pad; ++cb) u[p * c_pad + cb] = 0.0f;
    }
  });
}

}  // namespace drnas::kernels
