// SPDX-License-Identifier: MIT
#include "kernels/core/tile_planes.h"

#include <algorithm>

namespace drnas::kernels {
namespace {

/// Pixels from a plane to the next, so that what neighbouring threads store lies in different
/// banks: a pixel's planes, then the next pixel's. Six planes go two to a bank.
int spread(int pixels, int planes) {
  const int banks = 8;
  int residue = 1;
  if (banks % planes == 0) residue = banks / planes % banks;
  if (planes % 2 != 0 && planes < banks) residue = planes == 1 ? 0 : planes;
  return pixels + (residue - pixels % banks + banks) % banks;
}

}  // namespace

pixel_tiles::TileGrid cut_images(int h, int w, int pixels) {
  pixel_tiles::TileGrid grid{};
  grid.cut(h, w, h, most_tile_columns);
  grid.cut(h, w, std::max(1, pixels / grid.columns), most_tile_columns);
  return grid;
}

TilePlanes::TilePlanes(const pixel_tiles::TileGrid& tiles, int window_stride, int window_extent,
                       int chunks)
    : grid(tiles),
      stride(window_stride),
      extent(window_extent),
      planes(chunks),
      row_pitch((grid.columns - 1) * stride + extent),
      plane_pitch(spread(rows_of(grid.rows) * row_pitch, planes)) {}

}  // namespace drnas::kernels
