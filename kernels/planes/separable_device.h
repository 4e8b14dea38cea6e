// SPDX-License-Identifier: MIT
// What the CUDA kernels of the separable convolutions share: tiles of pixels, and windows of the
// input that a warp puts into shared memory.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/core/cuda_vector.h"
#include "kernels/core/launch.h"
#include "kernels/planes/separable_groups.h"

namespace drnas::kernels {

inline constexpr unsigned separable_threads = 128;
inline constexpr int separable_warps = separable_threads / warp_lanes;
/// Most floats of shared memory that a warp's windows and their weights take: the largest window of
/// one channel (kernel 7, stride 2) has 37 x 36.
inline constexpr int staging_floats = 1424;

__device__ inline int lane_index() { return static_cast<int>(threadIdx.x % warp_lanes); }
__device__ inline int warp_index() { return static_cast<int>(threadIdx.x / warp_lanes); }

/// A block's walk over the elements of a matrix, row by row, without a division a step.
class MatrixWalk {
 public:
  int row, column;

  __device__ explicit MatrixWalk(int columns)
      : row(static_cast<int>(threadIdx.x) / columns),
        column(static_cast<int>(threadIdx.x) - row * columns),
        columns_(columns),
        rows_apart_(static_cast<int>(separable_threads) / columns),
        columns_apart_(static_cast<int>(separable_threads) - rows_apart_ * columns) {}
  __device__ void next() {
    row += rows_apart_;
    column += columns_apart_;
    if (column < columns_) return;
    column -= columns_;
    ++row;
  }

 private:
  int columns_, rows_apart_, columns_apart_;
};

/// How tiles cover planes of rows x columns pixels.
struct PixelTiles {
  int rows, columns;
  int height, width, shift;  ///< of a tile; width is 1 << shift
  int down, across;          ///< tiles of a plane

  PixelTiles(int rows_, int columns_, int most_pixels) : rows(rows_), columns(columns_) {
    shift = columns <= 8 ? 3 : columns <= 16 ? 4 : 5;
    width = 1 << shift;
    height = std::min({most_pixels / width, 16, rows});
    down = (rows + height - 1) / height;
    across = (columns + width - 1) / width;
  }
  DRNAS_HD int count() const { return down * across; }
  DRNAS_HD int area() const { return height * width; }
  DRNAS_HD std::int64_t pixels() const { return std::int64_t{rows} * columns; }
};

/// A tile's place in its plane.
struct TileCorner {
  int top, left;

  __device__ TileCorner(const PixelTiles& t, int tile)
      : top(tile / t.across * t.height), left(tile % t.across * t.width) {}
  __device__ bool contains(const PixelTiles& t, int i, int j) const {
    return top + i < t.rows && left + j < t.columns;
  }
  /// Pixels that exist.
  __device__ int pixels(const PixelTiles& t) const {
    const int height = t.rows - top < t.height ? t.rows - top : t.height,
              width = t.columns - left < t.width ? t.columns - left : t.width;
    return height * width;
  }
};

/// What a filter of stride 1 or 2 reads around a tile, as it lies in shared memory. A strip is what
/// one thread computes: four neighbours of a row, in one row or in two that are `dilation` apart.
struct WindowShape {
  int dilation;  ///< rows and columns of the window from tap to tap
  int phases;    ///< 2: even and odd columns lie apart, as strips take every second one
  int step;      ///< rows and columns of the plane from one to the next of the window
  int pair;      ///< rows of a strip
  int above;     ///< rows before the tile
  int span;      ///< rows that a row of the tile reads, less one
  int margin;    ///< columns on both sides of the tile, a multiple of 4

  /// Of the inputs that a tile of outputs reads. A dilated filter with stride 2 reads even rows and
  /// columns alone, of which it is a plain filter.
  static constexpr DRNAS_HD WindowShape of_outputs(int kernel, int dilation, int stride) {
    if (stride == 2 && dilation == 1) return {1, 2, 1, 1, (kernel - 1) / 2, kernel - 1, 4};
    const int apart = stride == 2 ? 1 : dilation, pad = apart * (kernel - 1) / 2;
    return {apart, 1, stride, 2, pad, 2 * pad, pad > 4 ? 8 : 4};
  }
  /// Of the outputs' gradients that a tile of inputs reads, or with stride 2 a tile of output
  /// pixels, each of which stands for four inputs.
  static constexpr DRNAS_HD WindowShape of_inputs(int kernel, int dilation, int stride) {
    if (stride == 1 || dilation == 2) {
      WindowShape plain = of_outputs(kernel, dilation, stride);
      plain.step = 1;
      return plain;
    }
    const int pad = (kernel - 1) / 2;
    return {1, 1, 1, 1, pad / 2, pad / 2 + (pad + 1) / 2, 4};
  }
  /// Rows of a tile, in whole strips.
  constexpr DRNAS_HD int whole_rows(int height) const {
    const int group = pair == 2 ? 2 * dilation : 1;
    return (height + group - 1) / group * group;
  }
  constexpr DRNAS_HD int rows(int height) const {
    return (whole_rows(height) - 1) * phases + span + 1;
  }
  constexpr DRNAS_HD int phase_pitch(int width) const { return width + 2 * margin; }
  /// Of rows: eight neighbouring strips lie in different banks.
  constexpr DRNAS_HD int pitch(int width) const {
    const int floats = phases * phase_pitch(width);
    const bool single = phases == 1 && pair == 1;
    if (width == 8) return floats + (single ? 8 : 4);
    if (width == 16) return floats + (single ? 24 : phases == 2 ? 8 : dilation == 2 ? 4 : 0);
    return floats;
  }
};

/// How a warp computes strips of a tile, a strip a lane, of several planes where they are small.
struct StripPlan {
  int pitch, window;  ///< floats
  int weights;        ///< floats of a filter
  int strips;         ///< of a plane's tile, at most 32
  int at_once;        ///< planes

  DRNAS_HD StripPlan(const WindowShape& shape, int kernel, const PixelTiles& t)
      : pitch(shape.pitch(t.width)),
        window(shape.rows(t.height) * pitch),
        weights((kernel * kernel + 3) / 4 * 4),
        strips(shape.whole_rows(t.height) / shape.pair * (t.width / 4)) {
    const int fit = staging_floats / floats(), fill = static_cast<int>(warp_lanes) / strips;
    at_once = fill < 1 ? 1 : fill < fit ? fill : fit;
  }
  /// Of shared memory, a plane.
  DRNAS_HD int floats() const { return window + weights; }
};

/// The strip of a lane: which of the planes at once, its first row and column in the tile.
struct StripPlace {
  int plane, row, column;

  template <int Dilation, int Pair>
  __device__ static StripPlace of(const StripPlan& plan, const PixelTiles& t) {
    const int lane = lane_index(), plane = lane / plan.strips, strip = lane - plane * plan.strips,
              line = strip >> (t.shift - 2);
    int row = line * Pair;
    if (Pair == 2 && Dilation == 2) {
      // Where it can be, neighbours are four rows apart, for the banks.
      const bool whole = (plan.strips >> (t.shift - 2)) % 4 == 0;
      row = whole ? line / 4 * 8 + line % 2 * 4 + line / 2 % 2 : line / 2 * 4 + line % 2;
    }
    return {plane, row, (strip & ((t.width >> 2) - 1)) * 4};
  }
};

/// A plane in memory.
struct PlaneView {
  const float* data;
  int rows, columns;
};

/// Puts the window of a tile into shared memory, zeros outside the plane, `value` of each element
/// inside. V: neighbours that are loaded at once; they lie inside or outside together.
template <int V, int Phases, int Step, int Margin, class Value>
__device__ inline void load_window(const WindowShape& shape, const PixelTiles& t,
                                   const TileCorner& corner, const PlaneView& plane, int pitch,
                                   float* shared, const Value& value) {
  constexpr int scale = Phases * Step;
  const auto cells_of = [](int width) { return (width + 2 * Margin) * scale / V; };
  // The quotient by a constant of each width, exact below 2^20.
  const unsigned cells = static_cast<unsigned>(cells_of(t.width)),
                 inverse = (1u << 20) / static_cast<unsigned>(t.width == 8    ? cells_of(8)
                                                              : t.width == 16 ? cells_of(16)
                                                                              : cells_of(32)) +
                           1;
  const int top = (corner.top * Phases - shape.above) * Step, left = (corner.left - Margin) * scale,
            odd = shape.phase_pitch(t.width);
  const unsigned count = static_cast<unsigned>(shape.rows(t.height)) * cells;
  for (unsigned e = static_cast<unsigned>(lane_index()); e < count; e += warp_lanes) {
    const unsigned row = (e * inverse) >> 20;
    const int cell = static_cast<int>(e - row * cells), r = static_cast<int>(row),
              y = top + r * Step, x = left + cell * V;
    float found[V] = {};
    if (y >= 0 && y < plane.rows && x >= 0 && x < plane.columns) {
      load_vector(plane.data + std::int64_t{y} * plane.columns + x, found);
      for (int v = 0; v < V; ++v) found[v] = value(found[v]);
    }
    float* to = shared + r * pitch;
    if constexpr (scale == 1) {
      store_vector(to + cell * V, found);
    } else if constexpr (V == 4) {
      store_vector(to + cell * 2, {found[0], found[2]});
      if (Phases == 2) store_vector(to + odd + cell * 2, {found[1], found[3]});
    } else {
      if (cell % 2 == 0) to[cell / 2] = found[0];
      if (Phases == 2 && cell % 2) to[odd + cell / 2] = found[0];
    }
  }
}

/// The affine map of a normalised input's channel, and its rectified values; a NaN stays.
struct DeviceInput {
  PlaneView plane;
  float scale = 1.0f, shift = 0.0f;

  __device__ DeviceInput(const Separable& s, const SeparableInput& in, int image, int ch)
      : plane{in.x.data + image * in.x.stride + std::int64_t{ch} * s.h * s.w, s.h, s.w} {
    if (!in.mean) return;
    scale = (in.gamma ? in.gamma[ch] : 1.0f) * in.inv_std[ch];
    shift = (in.beta ? in.beta[ch] : 0.0f) - scale * in.mean[ch];
  }
  __device__ float operator()(float x) const {
    const float value = scale * x + shift;
    return value < 0.0f ? 0.0f : value;
  }
};

/// Calls body.template operator()<kernel, dilation>().
template <class Body>
__device__ inline void dispatch_filter(const SeparableFilter& f, const Body& body) {
  if (f.dilation == 1) {
    if (f.kernel == 3) return body.template operator()<3, 1>();
    if (f.kernel == 5) return body.template operator()<5, 1>();
    return body.template operator()<7, 1>();
  }
  if (f.kernel == 3) return body.template operator()<3, 2>();
  if (f.kernel == 5) return body.template operator()<5, 2>();
  body.template operator()<7, 2>();
}

}  // namespace drnas::kernels
