// SPDX-License-Identifier: MIT
// The passes between NHWC images and the transformed domain: a block of tiles is a matrix [tiles,
// channels] per point.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/core/parallel.h"
#include "kernels/core/simd.h"
#include "kernels/layers/gemm_block.h"
#include "kernels/layers/winograd_transform.h"

namespace drnas::kernels {

/// Floats from one point's matrix to the next: an odd number of cache lines, so that the points of
/// one element lie in different cache sets.
inline constexpr std::int64_t winograd_stride(std::int64_t floats) {
  return round_up(floats, 32) + 16;
}

/// Images cut into Tile x Tile outputs, row by row; the last ones of a row or column may hang over
/// the edge.
template <int Tile>
struct WinogradGrid {
  int h, w;
  int rows, columns;  // of tiles

  WinogradGrid(int height, int width)
      : h(height), w(width), rows((height + Tile - 1) / Tile), columns((width + Tile - 1) / Tile) {}

  /// Calls body(local, image, first row, first column) for tiles first .. first + count.
  template <class Body>
  void each(int first, int count, const Body& body) const {
    int column = first % columns, row = first / columns % rows, image = first / columns / rows;
    for (int local = 0; local < count; ++local) {
      body(local, image, row * Tile, column * Tile);
      if (++column < columns) continue;
      column = 0;
      if (++row < rows) continue;
      row = 0;
      ++image;
    }
  }
};

/// A range of channels of NHWC images.
template <class Float>
struct ImageView {
  Float* data;         // first channel of the range
  std::int64_t pixel;  // floats from pixel to pixel
  int channels;        // in the range

  Float* at(int h, int w, int image, int row, int column) const {
    return data + ((std::int64_t{image} * h + row) * w + column) * pixel;
  }
};

/// Pointers to the Size x Size pixels from (row, column) on; those outside the image point at
/// zeros.
template <int Size, int Tile>
struct Patch {
  const float* pixel[Size][Size];

  Patch(const WinogradGrid<Tile>& grid, const ImageView<const float>& x, int image, int row,
        int column, const float* zeros) {
    for (int i = 0; i < Size; ++i)
      for (int j = 0; j < Size; ++j) {
        const bool inside =
            row + i >= 0 && row + i < grid.h && column + j >= 0 && column + j < grid.w;
        pixel[i][j] = inside ? x.at(grid.h, grid.w, image, row + i, column + j) : zeros;
      }
  }
};

/// Transforms patches of Size x Size pixels, `margin` pixels up and left of each tile, to Points x
/// Points matrices [count, channels] at `stride` floats from each other. `zeros` holds channels
/// zeros.
template <int Tile, int Size, class Transform>
void transform_tiles(const WinogradGrid<Tile>& grid, const ImageView<const float>& x, int first,
                     int count, int margin, const float* zeros, float* out, std::int64_t stride,
                     const Transform& transform) {
  constexpr int V = gemm_lanes, points = WinogradTransform<Tile>::points;
  const auto channels = [&](float* to, const auto& pixel) {
    for (int c = 0; c < x.channels; c += V) {
      Lanes<V> d[Size][Size], v[points][points];
#pragma GCC unroll 8
      for (int i = 0; i < Size; ++i)
#pragma GCC unroll 8
        for (int j = 0; j < Size; ++j) d[i][j] = load<V>(pixel(i, j) + c);
      transform_twice<Size, points>(d, v, transform);
#pragma GCC unroll 8
      for (int i = 0; i < points; ++i)
#pragma GCC unroll 8
        for (int j = 0; j < points; ++j) store<V>(to + (i * points + j) * stride + c, v[i][j]);
    }
  };
  grid.each(first, count, [&](int local, int image, int tile_row, int tile_column) {
    const int row = tile_row - margin, column = tile_column - margin;
    float* to = out + std::int64_t{local} * x.channels;
    if (row >= 0 && column >= 0 && row + Size <= grid.h && column + Size <= grid.w) {
      const float* corner = x.at(grid.h, grid.w, image, row, column);
      const std::int64_t line = grid.w * x.pixel, pixel = x.pixel;
      channels(to, [=](int i, int j) { return corner + i * line + j * pixel; });
    } else {
      const Patch<Size, Tile> patch(grid, x, image, row, column, zeros);
      channels(to, [&](int i, int j) { return patch.pixel[i][j]; });
    }
  });
}

/// V = B^T d B of the input tiles.
template <int Tile>
void winograd_input(const WinogradGrid<Tile>& grid, const ImageView<const float>& x, int first,
                    int count, const float* zeros, float* out, std::int64_t stride) {
  transform_tiles<Tile, Tile + 2>(
      grid, x, first, count, 1, zeros, out, stride,
      [](const auto& d, auto& v) { WinogradTransform<Tile>::input(d, v); });
}

/// A dY A^T of the gradient's tiles.
template <int Tile>
void winograd_output_adjoint(const WinogradGrid<Tile>& grid, const ImageView<const float>& dy,
                             int first, int count, const float* zeros, float* out,
                             std::int64_t stride) {
  transform_tiles<Tile, Tile>(
      grid, dy, first, count, 0, zeros, out, stride,
      [](const auto& y, auto& m) { WinogradTransform<Tile>::output_adjoint(y, m); });
}

/// y = A^T M A, or y += it.
template <int Tile, bool Accumulate>
void winograd_output(const WinogradGrid<Tile>& grid, const float* in, std::int64_t stride,
                     int first, int count, const ImageView<float>& y) {
  constexpr int V = gemm_lanes, points = WinogradTransform<Tile>::points;
  grid.each(first, count, [&](int local, int image, int row, int column) {
    const float* from = in + std::int64_t{local} * y.channels;
    float* corner = y.at(grid.h, grid.w, image, row, column);
    const int height = std::min(Tile, grid.h - row), width = std::min(Tile, grid.w - column);
    for (int c = 0; c < y.channels; c += V) {
      Lanes<V> m[points][points], out[Tile][Tile];
#pragma GCC unroll 8
      for (int i = 0; i < points; ++i)
#pragma GCC unroll 8
        for (int j = 0; j < points; ++j) m[i][j] = load<V>(from + (i * points + j) * stride + c);
      transform_twice<points, Tile>(
          m, out, [](const auto& a, auto& b) { WinogradTransform<Tile>::output(a, b); });
#pragma GCC unroll 8
      for (int i = 0; i < Tile; ++i)
#pragma GCC unroll 8
        for (int j = 0; j < Tile; ++j) {
          if (i >= height || j >= width) continue;
          float* to = corner + (std::int64_t{i} * grid.w + j) * y.pixel + c;
          store<V>(to, Accumulate ? load<V>(to) + out[i][j] : out[i][j]);
        }
    }
  });
}

}  // namespace drnas::kernels
