// SPDX-License-Identifier: MIT
// Tiles of images as the kernels that convolve themselves hold them in shared memory.
#pragma once

#include <cstddef>

#include "kernels/core/tile_grid.h"

namespace drnas::kernels {

/// Shared memory as its unit of access.
struct alignas(16) Bytes16 {
  unsigned char bytes[16];
};

/// Hands out pieces of a block's shared memory; with a null base it only counts.
struct SharedCarver {
  unsigned char* base;
  std::size_t bytes = 0;

  template <class T>
  DRNAS_HD T* take(int count) {
    T* piece = base ? reinterpret_cast<T*>(base + bytes) : nullptr;
    bytes += static_cast<std::size_t>(count) * sizeof(T);
    return piece;
  }
};

/// Of the kernels whose blocks take tiles of pixels.
inline constexpr int tile_warps = 4, tile_threads = 32 * tile_warps;

/// Images cut into tiles of about `pixels` pixels and at most most_tile_columns columns.
inline constexpr int most_tile_columns = 32;
pixel_tiles::TileGrid cut_images(int h, int w, int pixels);

/// What the windows of a tile of pixels read, a plane for each chunk of 16 bytes of a pixel.
struct TilePlanes {
  pixel_tiles::TileGrid grid = {};  ///< of the pixels that have windows
  int stride = 1;                   ///< from a window to the next
  int extent = 1;                   ///< of a window, along both sides
  int planes = 0;                   ///< chunks of a pixel
  int row_pitch = 0;                ///< chunks from a row to the next, in a plane
  int plane_pitch = 0;              ///< chunks from a plane to the next

  TilePlanes() = default;
  /// With pitches such that what neighbouring threads store lies in different banks.
  TilePlanes(const pixel_tiles::TileGrid& tiles, int window_stride, int window_extent, int chunks);
  DRNAS_HD int count() const { return planes * plane_pitch; }
  /// Rows that so many rows of windows read.
  DRNAS_HD int rows_of(int rows) const { return (rows - 1) * stride + extent; }
  /// Where the window of a tile's pixel begins in a plane.
  DRNAS_HD int start(int row, int column) const { return stride * (row * row_pitch + column); }
  /// Pixels around one in the middle of a window.
  DRNAS_HD int halo() const { return extent / 2; }
};

}  // namespace drnas::kernels
