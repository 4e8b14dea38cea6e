// SPDX-License-Identifier: MIT
// How blocks cover images by tiles.
#pragma once

#include "kernels/core/host_device.h"

namespace drnas::kernels::pixel_tiles {

DRNAS_HD constexpr int min_of(int a, int b) { return a < b ? a : b; }
DRNAS_HD constexpr int max_of(int a, int b) { return a < b ? b : a; }
constexpr int divide_up(int a, int b) { return (a + b - 1) / b; }

/// Tiles of images: their largest extents, and how many an image has down and across.
struct TileGrid {
  int rows, columns, tile_rows, tile_columns;

  DRNAS_HD int pixels() const { return rows * columns; }
  /// Even tiles of at most these extents.
  void cut(int h, int w, int most_rows, int most_columns) {
    tile_rows = divide_up(h, most_rows);
    rows = divide_up(h, tile_rows);
    tile_columns = divide_up(w, most_columns);
    columns = divide_up(w, tile_columns);
  }
};

}  // namespace drnas::kernels::pixel_tiles
