// SPDX-License-Identifier: MIT
// What the CUDA kernels of the separable convolutions share: tiles of pixels, padded inputs in
// shared memory, and the depthwise filter of one pixel.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/core/launch.h"
#include "kernels/planes/separable_groups.h"

namespace drnas::kernels {

/// Floats of shared memory that hold padded inputs: the largest tile of one channel (kernel 7,
/// dilation 2, stride 2) has 19 x 75 of them.
inline constexpr int staging_floats = 2048;

/// How blocks cover images of rows x columns pixels: a thread a pixel.
struct PixelTiles {
  int rows, columns;
  int height, width;  ///< of a tile; width is a power of two
  int down, across;   ///< tiles of an image
  unsigned threads;

  PixelTiles(int rows_, int columns_) : rows(rows_), columns(columns_) {
    width = columns <= 8 ? 8 : columns <= 16 ? 16 : 32;
    height = std::min(128 / width, rows);
    down = (rows + height - 1) / height;
    across = (columns + width - 1) / width;
    threads = static_cast<unsigned>((height * width + 31) / 32 * 32);
  }
  DRNAS_HD int count() const { return down * across; }
  DRNAS_HD std::int64_t pixels() const { return std::int64_t{rows} * columns; }
};

/// The pixel of a thread in a tile of an image.
struct TilePixel {
  int top, left;  ///< of the tile
  int i, j;       ///< in the tile
  bool active;
  std::int64_t offset;  ///< in a plane

  __device__ TilePixel(const PixelTiles& t, int tile, int thread)
      : top(tile / t.across * t.height), left(tile % t.across * t.width) {
    i = thread / t.width;
    j = thread - i * t.width;
    active = i < t.height && top + i < t.rows && left + j < t.columns;
    offset = std::int64_t{top + i} * t.columns + left + j;
  }
};

/// Pixels of a tile that exist.
__device__ inline int tile_pixels(const PixelTiles& t, int tile) {
  const int top = tile / t.across * t.height, left = tile % t.across * t.width;
  const int height = t.rows - top < t.height ? t.rows - top : t.height,
            width = t.columns - left < t.width ? t.columns - left : t.width;
  return height * width;
}

/// A rectangle of a plane in shared memory, zeros outside the plane.
struct Window {
  int top, left, rows, columns;

  /// What the tile's outputs read.
  __device__ static Window of_outputs(const Separable& s, const SeparableFilter& f,
                                      const PixelTiles& t, const TilePixel& pixel) {
    const int pad = f.dilation * (f.kernel - 1) / 2;
    return {pixel.top * s.stride - pad, pixel.left * s.stride - pad,
            (t.height - 1) * s.stride + 2 * pad + 1, (t.width - 1) * s.stride + 2 * pad + 1};
  }
  __device__ int floats() const { return rows * columns; }

  /// Every warp takes rows of its own; `value(offset in the plane)`.
  template <class Value>
  __device__ void load(int plane_rows, int plane_columns, float* shared, const Value& value) const {
    const int lane = static_cast<int>(threadIdx.x % warp_lanes);
    for (int r = static_cast<int>(threadIdx.x / warp_lanes); r < rows;
         r += static_cast<int>(blockDim.x / warp_lanes)) {
      const bool inside = top + r >= 0 && top + r < plane_rows;
      for (int c = lane; c < columns; c += static_cast<int>(warp_lanes)) {
        const bool there = inside && left + c >= 0 && left + c < plane_columns;
        shared[r * columns + c] =
            there ? value(std::int64_t{top + r} * plane_columns + left + c) : 0.0f;
      }
    }
  }
};

/// The affine map of a normalised input's channel, and its rectified values.
struct DeviceInput {
  const float* x;
  float scale = 1.0f, shift = 0.0f;

  __device__ DeviceInput(const Separable& s, const SeparableInput& in, int image, int ch)
      : x(in.x.data + image * in.x.stride + std::int64_t{ch} * s.h * s.w) {
    if (!in.mean) return;
    scale = (in.gamma ? in.gamma[ch] : 1.0f) * in.inv_std[ch];
    shift = (in.beta ? in.beta[ch] : 0.0f) - scale * in.mean[ch];
  }
  __device__ float operator()(std::int64_t offset) const {
    return fmaxf(0.0f, scale * x[offset] + shift);
  }
};

/// d of one output pixel whose first tap lies at `at` in a window of `columns` columns.
template <int K>
__device__ inline float depthwise_pixel(const float* window, int columns, int dilation,
                                        const float* weight) {
  float sum = 0.0f;
  for (int a = 0; a < K; ++a)
    for (int b = 0; b < K; ++b) sum += weight[a * K + b] * window[(a * columns + b) * dilation];
  return sum;
}

__device__ inline float depthwise_pixel(int kernel, const float* window, int columns, int dilation,
                                        const float* weight) {
  if (kernel == 3) return depthwise_pixel<3>(window, columns, dilation, weight);
  if (kernel == 5) return depthwise_pixel<5>(window, columns, dilation, weight);
  return depthwise_pixel<7>(window, columns, dilation, weight);
}

/// d of channels [first, first + count) at every thread's pixel, zero where there is none: to
/// d[ch - first][thread], rows `pitch` apart. Every thread of the block must call it; it begins and
/// ends with what `staging` held being free to overwrite.
__device__ inline void depthwise_tile(const Separable& s, const SeparableFilter& f,
                                      const PixelTiles& t, const TilePixel& pixel, int image,
                                      int first, int count, float* staging, float* d, int pitch) {
  const Window window = Window::of_outputs(s, f, t, pixel);
  const int at_once = staging_floats / window.floats(), taps = f.kernel * f.kernel;
  const float* own = staging + (pixel.i * window.columns + pixel.j) * s.stride;
  for (int begin = 0; begin < count; begin += at_once) {
    const int end = begin + at_once < count ? begin + at_once : count;
    for (int ch = begin; ch < end; ++ch)
      window.load(s.h, s.w, staging + (ch - begin) * window.floats(),
                  DeviceInput(s, f.in, image, first + ch));
    __syncthreads();
    for (int ch = begin; ch < end; ++ch)
      d[ch * pitch + static_cast<int>(threadIdx.x)] =
          pixel.active
              ? depthwise_pixel(f.kernel, own + (ch - begin) * window.floats(), window.columns,
                                f.dilation, f.depthwise + std::int64_t{first + ch} * taps)
              : 0.0f;
    __syncthreads();
  }
}

}  // namespace drnas::kernels
