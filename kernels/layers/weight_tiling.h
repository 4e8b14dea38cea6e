// SPDX-License-Identifier: MIT
// How the gradient of a convolution's weights is cut into blocks: a block takes some rows of dy,
// some channels of x, some taps, and a share of all tiles of pixels. What it sums up is a part,
// added to those of the other shares later.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/core/tile_planes.h"

namespace drnas::kernels {

/// Up to two convolutions of one input, of odd kernel sizes where there are two: dW_s[row, tap, c]
/// = sum over pixels of dy_s[pixel, row] x[where the tap reads, c].
struct WeightShape {
  static constexpr int max_sizes = 2;
  int n, h, w;          ///< of dy
  int c;                ///< channels of x
  int stride, padding;  ///< of the largest
  int sizes;
  int kernel[max_sizes], rows[max_sizes];

  DRNAS_HD int largest() const {
    return sizes > 1 && kernel[1] > kernel[0] ? kernel[1] : kernel[0];
  }
  DRNAS_HD std::int64_t weight_count(int size) const {
    return std::int64_t{rows[size]} * kernel[size] * kernel[size] * c;
  }
  /// Of all sizes.
  DRNAS_HD std::int64_t weights() const {
    return weight_count(0) + (sizes > 1 ? weight_count(1) : 0);
  }
};

struct WeightTiling {
  static constexpr int warps = 8, threads = 32 * warps;
  static constexpr int side = 3;  ///< of the window of taps that a block takes
  static constexpr int row_unit = 16, channel_unit = 8;  ///< of a warp
  static constexpr int wanted_blocks = 264;  ///< two for each multiprocessor of a large card

  TilePlanes x, dy;
  int row_warps = 1, channel_warps = 1;  ///< those left take other pixels
  int row_slices = 0, channel_slices = 0;
  /// A pair is a size and, beside it, one of a single tap; a size that makes none has blocks of its
  /// own. Windows of taps of the size that comes first, and of the other one where there is no
  /// pair.
  int first = 0, second = -1;  ///< sizes; the second -1: there is none
  bool pair = false;
  int first_windows = 0, second_windows = 0;
  int tiles = 0, shares = 0;  ///< of all images, and how many blocks share them; 0: nothing fits

  WeightTiling() = default;
  WeightTiling(const WeightShape& p, int chunk_channels);

  DRNAS_HD int rows() const { return row_unit * row_warps; }
  DRNAS_HD int channels() const { return channel_unit * channel_warps; }
  DRNAS_HD int depth_warps() const { return warps / (row_warps * channel_warps); }
  DRNAS_HD int blocks_of_share() const {
    return row_slices * channel_slices * (first_windows + second_windows);
  }
  bool fits() const { return shares > 0; }
  std::size_t shared_bytes() const;

 private:
  void choose_sizes(const WeightShape& p);
  /// As many as keep a card busy, but their parts at most half as many bytes as what is read.
  int shares_of(const WeightShape& p, int chunk_channels) const;
};

/// A block's shared memory.
struct WeightMemory {
  static constexpr int sums_of_lane = (WeightTiling::side * WeightTiling::side + 1) * 4;

  Bytes16* zeros;
  Bytes16* x;
  int* starts;  ///< of a tile's pixels: where their windows begin in a plane of x, -1 outside
  float* sums;  ///< in the place of x and dy: [warps / 2][sums_of_lane][32]
  std::size_t bytes;

  DRNAS_HD WeightMemory(const WeightTiling& t, void* base) : t_(&t) {
    SharedCarver carve{static_cast<unsigned char*>(base)};
    const int sums_bytes = (t.depth_warps() > 1 ? WeightTiling::warps / 2 : 0) * sums_of_lane * 32 *
                           static_cast<int>(sizeof(float)),
              tile_chunks = t.x.count() + WeightShape::max_sizes * t.dy.count(),
              sum_chunks = sums_bytes / static_cast<int>(sizeof(Bytes16));
    zeros = carve.take<Bytes16>(1);
    x = carve.take<Bytes16>(tile_chunks > sum_chunks ? tile_chunks : sum_chunks);
    sums = reinterpret_cast<float*>(x);
    starts = carve.take<int>(t.x.grid.pixels());
    bytes = carve.bytes;
  }
  /// Planes of dy: 0 of the first size of a pair, 1 of the other.
  DRNAS_HD Bytes16* dy(int place) const { return x + t_->x.count() + place * t_->dy.count(); }

 private:
  const WeightTiling* t_;
};

}  // namespace drnas::kernels
