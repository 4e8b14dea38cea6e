// SPDX-License-Identifier: MIT
// What a block does for the gradient of a convolution's weights, for .cu files: it walks over its
// share of the tiles, whose x and dy others load; its sums stay in registers, and are left as a
// part of all shares' sum.
#pragma once

#include "kernels/core/depth_product.h"
#include "kernels/core/tile_operands.h"
#include "kernels/layers/weight_tiling.h"

namespace drnas::kernels {
namespace {

constexpr int window_side = WeightTiling::side, window_taps = window_side * window_side;
constexpr int all_taps = window_taps + 1;  ///< with the single one

/// What a block sums up: a window of taps of a size, and a size of one tap beside it.
struct WeightBlock {
  int size, single;   ///< the second -1: there is none
  int down, across;   ///< first tap
  unsigned taps = 0;  ///< which of the window there are
  int first_row, first_channel;

  __device__ WeightBlock(const WeightShape& p, const WeightTiling& t, int index) {
    const int row_slice = index % t.row_slices;
    index /= t.row_slices;
    const int channel_slice = index % t.channel_slices;
    int window = index / t.channel_slices;
    const bool is_first = window < t.first_windows;
    if (!is_first) window -= t.first_windows;
    size = is_first ? t.first : t.second;
    single = t.pair && window == 0 ? t.second : -1;
    const int kernel = p.kernel[size], windows = (kernel + window_side - 1) / window_side;
    down = window / windows * window_side;
    across = window % windows * window_side;
    for (int tap = 0; tap < window_taps; ++tap)
      if (down + tap / window_side < kernel && across + tap % window_side < kernel)
        taps |= 1u << tap;
    first_row = row_slice * t.rows();
    first_channel = channel_slice * t.channels();
  }
  __device__ bool has(int tap) const { return (taps >> tap & 1) != 0; }
  __device__ int tap_of(const WeightShape& p, int tap) const {
    return (down + tap / window_side) * p.kernel[size] + across + tap % window_side;
  }
};

/// What a warp of the block sums up.
struct WeightWarp {
  int row, channel;  ///< units of the block's
  int depth;         ///< of the warps that share the pixels
  int index;

  __device__ explicit WeightWarp(const WeightTiling& t) {
    index = static_cast<int>(threadIdx.x) / 32;
    const int units = t.row_warps * t.channel_warps, unit = index % units;
    row = unit % t.row_warps;
    channel = unit / t.row_warps;
    depth = index / units;
  }
};

/// Where windows of a tile's pixels begin.
__device__ inline void store_starts(const WeightTiling& t, const pixel_tiles::Tile& tile,
                                    const WeightMemory& memory) {
  const int columns = t.x.grid.columns;
  pixel_tiles::PixelWalk walk(static_cast<int>(threadIdx.x), WeightTiling::threads, columns);
  for (; walk.row < tile.rows; walk.advance())
    memory.starts[walk.row * columns + walk.column] =
        walk.column < tile.columns ? t.x.start(walk.row, walk.column) : -1;
}

/// Adds a tile to the sums: taps in pairs, the last of the window with the single one.
template <class Numbers>
__device__ void add_tile(const WeightShape& p, const WeightTiling& t, const WeightBlock& block,
                         const WeightWarp& warp, int pixels, const WeightMemory& memory,
                         float (&sums)[all_taps][4]) {
  using Step = DepthStep<Numbers>;
  const int lane = static_cast<int>(threadIdx.x) % 32, pitch = t.x.row_pitch;
  const auto planes = [&](Bytes16* from, const TilePlanes& of, int channel) {
    const auto* first = chunks_at<Numbers>(from);
    return DepthPlanes<Numbers>{first + channel / chunk_channels<Numbers> * of.plane_pitch,
                                of.plane_pitch, chunks_at<Numbers>(memory.zeros)};
  };
  const int row = warp.row * WeightTiling::row_unit;
  const DepthPlanes<Numbers> x = planes(memory.x, t.x, warp.channel * WeightTiling::channel_unit),
                             dy = planes(memory.dy(0), t.dy, row),
                             single = planes(memory.dy(1), t.dy, row);
  // Where two sizes differ, the smaller one's window lies in the middle.
  const int corner = (t.x.extent - p.kernel[block.size]) / 2, middle = t.x.extent / 2,
            first_shift = (corner + block.down) * pitch + corner + block.across;
  const auto shift_of = [&](int tap) {
    return first_shift + tap / window_side * pitch + tap % window_side;
  };
  for (int first = warp.depth * Step::depth; first < pixels;
       first += t.depth_warps() * Step::depth) {
    int left[Step::lookups], right[Step::lookups];
    for (int i = 0; i < Step::lookups; ++i) {
      const int l = first + Step::left(lane, i), r = first + Step::right(lane, i);
      left[i] = l < pixels ? l : -1;
      right[i] = r < pixels ? memory.starts[r] : -1;
    }
    LeftRows<Numbers> rows;
    rows.load(dy, left);
    const auto term_of = [&](int tap) {
      return DepthTerm<Numbers>{sums[tap], rows, shift_of(tap)};
    };
    DRNAS_UNROLL
    for (int tap = 0; tap + 1 < window_taps; tap += 2)
      if (block.has(tap) && block.has(tap + 1))
        multiply_depth(x, right, term_of(tap), term_of(tap + 1));
      else if (block.has(tap))
        multiply_depth(x, right, term_of(tap));
      else if (block.has(tap + 1))
        multiply_depth(x, right, term_of(tap + 1));
    if (block.single < 0) {
      if (block.has(window_taps - 1)) multiply_depth(x, right, term_of(window_taps - 1));
      continue;
    }
    LeftRows<Numbers> single_rows;
    single_rows.load(single, left);
    const DepthTerm<Numbers> centre{sums[all_taps - 1], single_rows, middle * pitch + middle};
    if (block.has(window_taps - 1))
      multiply_depth(x, right, term_of(window_taps - 1), centre);
    else
      multiply_depth(x, right, centre);
  }
}

/// Warps that took different pixels add their sums in pairs; the first of them hold all.
__device__ inline void add_warps(const WeightTiling& t, const WeightWarp& warp,
                                 const WeightMemory& memory, float (&sums)[all_taps][4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32, units = t.row_warps * t.channel_warps;
  for (int half = t.depth_warps() / 2; half > 0; half /= 2) {
    __syncthreads();
    const bool gives = warp.depth >= half && warp.depth < 2 * half;
    float* at = memory.sums +
                (warp.index - (gives ? half * units : 0)) * WeightMemory::sums_of_lane * 32 + lane;
    if (gives) {
      DRNAS_UNROLL
      for (int i = 0; i < WeightMemory::sums_of_lane; ++i) at[32 * i] = sums[i / 4][i % 4];
    }
    __syncthreads();
    if (warp.depth < half) {
      DRNAS_UNROLL
      for (int i = 0; i < WeightMemory::sums_of_lane; ++i) sums[i / 4][i % 4] += at[32 * i];
    }
  }
}

/// Writes the sums of one tap: rows of size s.
__device__ inline void store_tap(const WeightShape& p, int s, int tap, int row, int channel,
                                 float* part, const float (&sums)[4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32, taps = p.kernel[s] * p.kernel[s],
            at = channel + lane % 4 * 2;
  if (at >= p.c) return;
  for (int half = 0; half < 2; ++half) {
    const int at_row = row + lane / 4 + 8 * half;
    if (at_row >= p.rows[s]) continue;
    float* to = part + (std::int64_t{at_row} * taps + tap) * p.c + at;
    if (p.c % 2 == 0) {
      store_channels(to, Channels<2>{{sums[2 * half], sums[2 * half + 1]}});
      continue;
    }
    to[0] = sums[2 * half];
    if (at + 1 < p.c) to[1] = sums[2 * half + 1];
  }
}

/// What the block's part holds, of all sizes one after the other. load(tile) fills the planes of x
/// and dy; every thread of the block calls it.
template <class Numbers, class Load>
__device__ void leave_part(const WeightShape& p, const WeightTiling& t, const WeightBlock& block,
                           const WeightMemory& memory, int share, float* parts, const Load& load) {
  const WeightWarp warp(t);
  store_zeros<Numbers>(memory.zeros);
  float sums[all_taps][4] = {};
  const auto begin_of = [&](int index) {
    return static_cast<int>(std::int64_t{t.tiles} * index / t.shares);
  };
  for (int index = begin_of(share), end = begin_of(share + 1); index < end; ++index) {
    const pixel_tiles::Tile tile(t.x.grid, p.h, p.w, index);
    load(tile);
    store_starts(t, tile, memory);
    __syncthreads();
    add_tile<Numbers>(p, t, block, warp, tile.rows * t.x.grid.columns, memory, sums);
    __syncthreads();
  }
  add_warps(t, warp, memory, sums);
  if (warp.depth > 0) return;
  float* part = parts + share * p.weights();
  const auto part_of = [&](int s) { return part + (s == 0 ? 0 : p.weight_count(0)); };
  const int row = block.first_row + WeightTiling::row_unit * warp.row,
            channel = block.first_channel + WeightTiling::channel_unit * warp.channel;
  DRNAS_UNROLL
  for (int tap = 0; tap < window_taps; ++tap)
    if (block.has(tap))
      store_tap(p, block.size, block.tap_of(p, tap), row, channel, part_of(block.size), sums[tap]);
  if (block.single >= 0)
    store_tap(p, block.single, 0, row, channel, part_of(block.single), sums[all_taps - 1]);
}

/// Blocks of a multiprocessor that registers are asked for.
template <class Numbers>
constexpr int resident_weight_blocks = sizeof(typename Numbers::Stored) == 2 ? 2 : 1;

/// Grid (shares, blocks of a share).
inline LaunchShape weight_launch(const WeightTiling& t) {
  return {t.shares, WeightTiling::threads, t.shared_bytes(),
          static_cast<unsigned>(t.blocks_of_share())};
}

/// Sum of one weight's parts, in the order of the shares.
__device__ inline float sum_parts(const float* first, int shares, std::int64_t weights) {
  float sum = 0;
  DRNAS_UNROLL_4
  for (int share = 0; share < shares; ++share) sum += first[share * weights];
  return sum;
}

}  // namespace
}  // namespace drnas::kernels
