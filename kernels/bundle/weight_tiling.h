// SPDX-License-Identifier: MIT
// How the gradient of a bundle's weights is cut into blocks: a block takes some rows of dz of both
// sizes, some channels of u, some taps, and a share of all tiles of pixels. What it sums up is a
// part, added to those of the other shares later.
#pragma once

#include <cstddef>

#include "kernels/bundle/tile_planes.h"

namespace drnas::kernels {

struct WeightTiling {
  static constexpr int warps = 8, threads = 32 * warps;
  static constexpr int side = 3;  ///< of the window of taps that a block takes
  static constexpr int row_unit = 16, channel_unit = 8;  ///< of a warp
  static constexpr int wanted_blocks = 264;

  TilePlanes u, dz;
  int row_warps = 1, channel_warps = 1;  ///< those left take other pixels
  int row_slices = 0, channel_slices = 0;
  /// A pair is a size and, beside it, one of a single tap; a size that makes none has blocks of its
  /// own. Windows of taps of the size that comes first, and of the other one where there is no
  /// pair.
  int first = 0, second = -1;  ///< sizes; the second -1: there is none
  bool pair = false;
  int first_windows = 0, second_windows = 0;
  int shares = 0;  ///< of the tiles

  WeightTiling() = default;
  WeightTiling(const ConvBundle& b, int chunk_channels);

  DRNAS_HD int rows() const { return row_unit * row_warps; }
  DRNAS_HD int channels() const { return channel_unit * channel_warps; }
  DRNAS_HD int depth_warps() const { return warps / (row_warps * channel_warps); }
  DRNAS_HD int blocks_of_share() const {
    return row_slices * channel_slices * (first_windows + second_windows);
  }
  bool fits() const { return shares > 0; }
  std::size_t shared_bytes() const;

 private:
  void choose_sizes(const ConvBundle& b);
  /// As many as keep a card busy, but their parts at most half as many bytes as what is read.
  int shares_of(const ConvBundle& b, int chunk_channels) const;
};

/// A block's shared memory.
struct WeightMemory {
  static constexpr int sums_of_lane = (WeightTiling::side * WeightTiling::side + 1) * 4;

  Bytes16* zeros;
  Bytes16* u;
  int* starts;  ///< of a tile's pixels: where their windows begin in a plane of u, -1 outside
  float* sums;  ///< in the place of u and dz: [warps / 2][sums_of_lane][32]
  std::size_t bytes = 0;

  /// With a null base it only counts.
  DRNAS_HD WeightMemory(const WeightTiling& t, void* base) : t_(&t) {
    SharedCarver carve{static_cast<unsigned char*>(base)};
    const int sums_bytes = (t.depth_warps() > 1 ? WeightTiling::warps / 2 : 0) * sums_of_lane * 32 *
                           static_cast<int>(sizeof(float)),
              tile_chunks = t.u.count() + ConvBundle::max_sizes * t.dz.count(),
              sum_chunks = sums_bytes / static_cast<int>(sizeof(Bytes16));
    zeros = carve.take<Bytes16>(1);
    u = carve.take<Bytes16>(tile_chunks > sum_chunks ? tile_chunks : sum_chunks);
    sums = reinterpret_cast<float*>(u);
    starts = carve.take<int>(t.u.grid.pixels());
    bytes = carve.bytes;
  }
  DRNAS_HD Bytes16* dz(int place) const { return u + t_->u.count() + place * t_->dz.count(); }

 private:
  const WeightTiling* t_;
};

}  // namespace drnas::kernels
