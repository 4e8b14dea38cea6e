// SPDX-License-Identifier: MIT
// How the kernels that convolve a bundle themselves cut it into blocks: a block takes a tile of
// pixels and a slice of output channels, four warps M times 16 pixels each and all of the slice.
#pragma once

#include <cstddef>

#include "kernels/bundle/conv_bundle.h"
#include "kernels/core/tile_planes.h"

namespace drnas::kernels {

/// What one of the kernels can do.
struct TileLimits {
  int chunk_channels;  ///< channels in 16 bytes
  int most_n;          ///< most columns of a warp, in eights
  bool tensor;         ///< on tensor cores, else by multiply-adds
  int inputs = 1;      ///< tiles of pixels in shared memory
  int around = 0;      ///< pixels around a tile that are there whatever the convolutions read
};

/// Tiles of a block, as BundleTiling has them.
struct BundleTile {
  int m, n;
};
/// For the whole process: the tile that kernels take wherever it fits, over several edges too;
/// null: the tiling's own choice. Set it before workspaces are measured. Throws Error for one that
/// no kernel has.
void prefer_bundle_tile(const BundleTile* tile);

struct BundleTiling : TilePlanes {
  /// Of a large card, and tiles that keep most of them busy.
  static constexpr int multiprocessors = 132, enough_tiles = 128;

  int m = 0;       ///< rows of a warp in sixteens; 0: nothing fits
  int n = 0;       ///< columns of a slice in eights
  int inputs = 1;  ///< tiles of pixels in shared memory
  int slices = 0;
  int chunks[ConvBundle::max_sizes] = {};  ///< of a size's depth, an even number

  DRNAS_HD int slice() const { return 8 * n; }
  /// Chunks of weights from one chunk of depth to the next: neighbours lie in different banks.
  DRNAS_HD int weight_pitch() const { return slice() + 1; }
  std::int64_t tiles(const ConvBundle& b) const {
    return std::int64_t{b.n} * grid.tile_rows * grid.tile_columns;
  }
  bool fits() const { return m > 0; }
  std::size_t shared_bytes() const;

  BundleTiling() = default;
  /// Rows follow from the images and channels alone, so that a bundle leaves the same statistics
  /// and chooses the same library whichever of its sizes and edges run; columns are those of least
  /// cost. `by_edge`: no slice holds more than one edge of eight channels or more, so that edges
  /// whose convolutions do not run cost nothing.
  BundleTiling(const ConvBundle& b, const TileLimits& limits, bool by_edge);

 private:
  /// Rows of a warp in sixteens: the most that leave enough tiles; 0 where nothing fits.
  static int warp_rows(const ConvBundle& b, const TileLimits& limits);
  /// Loads from shared memory a step of depth, or multiply-adds, of a multiprocessor's blocks.
  double cost(const ConvBundle& b, const TileLimits& limits) const;
  BundleTiling(const ConvBundle& b, const TileLimits& limits, int m, int n);
};

}  // namespace drnas::kernels
