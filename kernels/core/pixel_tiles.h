// SPDX-License-Identifier: MIT
// Tiles of images as blocks of kernels see them, and how threads walk over the pixels of
// a tile, for .cu files.
#pragma once

#include <cstdint>

#include "kernels/core/launch.h"
#include "kernels/core/tile_grid.h"

namespace drnas::kernels::pixel_tiles {

/// The part of an image that a block works on.
struct Tile {
  int first_pixel;  ///< of the image
  int row, column;  ///< of the tile's first pixel
  int rows, columns;

  __device__ Tile(const TileGrid& grid, int h, int w, int index) {
    const int across = index % grid.tile_columns, down = index / grid.tile_columns;
    first_pixel = down / grid.tile_rows * h * w;
    row = down % grid.tile_rows * grid.rows;
    column = across * grid.columns;
    rows = min_of(grid.rows, h - row);
    columns = min_of(grid.columns, w - column);
  }
  __device__ int pixels() const { return rows * columns; }
  /// Is a pixel, counted from the tile's first, one of it?
  __device__ bool has(int down, int across) const {
    return down >= 0 && down < rows && across >= 0 && across < columns;
  }
};

/// Steps through the pixels of a rectangle `columns` wide without dividing.
struct PixelWalk {
  int row, column, down, across, columns;

  __device__ PixelWalk(int first, int step, int columns_)
      : row(first / columns_),
        column(first % columns_),
        down(step / columns_),
        across(step % columns_),
        columns(columns_) {}
  __device__ void advance() {
    row += down;
    column += across;
    if (column < columns) return;
    column -= columns;
    ++row;
  }
};

/// Element offset of a pixel, both below 2^31.
__device__ inline std::int64_t offset_of(int pixel, std::int64_t stride) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(static_cast<std::uint32_t>(pixel)) *
                                   static_cast<std::uint32_t>(stride));
}

/// Threads take `vectors` vectors a pixel, neighbours first, so that a warp touches contiguous
/// memory: calls prepare(vector), then what that returns as body(i, row, column) for pixels of a
/// rectangle `rows` by `columns`, i of which is at (row, column).
template <int threads, class Prepare>
__device__ void each_vector(int vectors, int rows, int columns, const Prepare& prepare) {
  const int lanes = min_of(vectors, threads), slots = threads / lanes,
            slot = static_cast<int>(threadIdx.x) / lanes, pixels = rows * columns;
  if (slot >= slots) return;
  for (int v = static_cast<int>(threadIdx.x) % lanes; v < vectors; v += lanes) {
    const auto body = prepare(v);
    PixelWalk walk(slot, slots, columns);
    for (int i = slot; i < pixels; i += slots, walk.advance()) body(i, walk.row, walk.column);
  }
}

/// One over the number of pixels of a window [i-1, i+1] that lie inside [0, size).
__device__ inline float window_share(int i, int size) {
  const int count = 1 + (i > 0) + (i + 1 < size);
  return count == 3 ? 1.0f / 3 : count == 2 ? 0.5f : 1.0f;
}

}  // namespace drnas::kernels::pixel_tiles
