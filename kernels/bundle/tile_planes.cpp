// SPDX-License-Identifier: MIT
#include "kernels/bundle/tile_planes.h"

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

pixel_tiles::TileGrid tiles_of(const ConvBundle& b, int pixels) {
  pixel_tiles::TileGrid grid{};
  grid.cut(b.h, b.w, b.h, most_tile_columns);
  grid.cut(b.h, b.w, std::max(1, pixels / grid.columns), most_tile_columns);
  return grid;
}

int pixels_around(const ConvBundle& b) {
  int around = 0;
  for (int s = 0; s < b.sizes; ++s) around = std::max(around, b.kernel[s] / 2);
  return around;
}

TilePlanes::TilePlanes(const pixel_tiles::TileGrid& tiles, int pixels_around, int chunks)
    : grid(tiles),
      halo(pixels_around),
      planes(chunks),
      row_pitch(grid.columns + 2 * halo),
      plane_pitch(spread((grid.rows + 2 * halo) * row_pitch, planes)) {}

}  // namespace drnas::kernels
