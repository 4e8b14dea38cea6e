// SPDX-License-Identifier: MIT
// Tiles of images as the kernels that convolve a bundle themselves hold them.
#pragma once

#include "kernels/bundle/conv_bundle.h"
#include "kernels/bundle/tile_grid.h"

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

/// Images cut into tiles of about `pixels` pixels and at most most_tile_columns columns.
inline constexpr int most_tile_columns = 32;
pixel_tiles::TileGrid tiles_of(const ConvBundle& b, int pixels);
/// How far the largest convolution reads around a pixel.
int pixels_around(const ConvBundle& b);

/// Tiles of pixels with what lies around them, in shared memory: a plane for each chunk of 16 bytes
/// of a pixel.
struct TilePlanes {
  pixel_tiles::TileGrid grid = {};
  int halo = 0;         ///< pixels around a tile that convolutions read
  int planes = 0;       ///< chunks of a pixel
  int row_pitch = 0;    ///< chunks from a row of the tile to the next, in a plane
  int plane_pitch = 0;  ///< chunks from a plane to the next

  TilePlanes() = default;
  /// With pitches such that what neighbouring threads store lies in different banks.
  TilePlanes(const pixel_tiles::TileGrid& tiles, int pixels_around, int chunks);
  DRNAS_HD int count() const { return planes * plane_pitch; }
  std::int64_t tiles(const ConvBundle& b) const {
    return std::int64_t{b.n} * grid.tile_rows * grid.tile_columns;
  }
};

}  // namespace drnas::kernels
