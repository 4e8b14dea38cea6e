// SPDX-License-Identifier: MIT
// The gradient of a bundle's weights by tiles: dW = dz * u, a sum over all pixels of outer products
// of channels. A block walks over its share of the tiles; of each it loads u with the pixels around
// it and dz of its rows, of both sizes where one is 1x1. Its sums stay in registers, and are left
// as a part of all shares' sum.
#include "kernels/bundle/bundle_tile_weights.h"

#include "kernels/bundle/bundle_differential.h"
#include "kernels/bundle/weight_sums.h"
#include "kernels/bundle/weight_tiling.h"
#include "kernels/core/depth_product.h"

namespace drnas::kernels {
namespace {

using pixel_tiles::Tile;

constexpr int window_side = WeightTiling::side, window_taps = window_side * window_side;
constexpr int all_taps = window_taps + 1;  ///< with the single one

template <class T>
struct Weights {
  BundleDifferential<T> d;
  WeightTiling t;
  int width;  ///< of loads of x
  int tiles;
  float* parts;
  std::int64_t part_weights;  ///< of all sizes
};

/// What a block sums up: a window of taps of a size, and a size of one tap beside it.
struct WeightBlock {
  int size, single;   ///< the second -1: there is none
  int down, across;   ///< first tap
  unsigned taps = 0;  ///< which of the window there are
  int first_row, first_channel;

  __device__ WeightBlock(const ConvBundle& b, const WeightTiling& t, int index) {
    const int row_slice = index % t.row_slices;
    index /= t.row_slices;
    const int channel_slice = index % t.channel_slices;
    int window = index / t.channel_slices;
    const bool is_first = window < t.first_windows;
    if (!is_first) window -= t.first_windows;
    size = is_first ? t.first : t.second;
    single = t.pair && window == 0 ? t.second : -1;
    const int kernel = b.kernel[size], windows = (kernel + window_side - 1) / window_side;
    down = window / windows * window_side;
    across = window % windows * window_side;
    for (int tap = 0; tap < window_taps; ++tap)
      if (down + tap / window_side < kernel && across + tap % window_side < kernel)
        taps |= 1u << tap;
    first_row = row_slice * t.rows();
    first_channel = channel_slice * t.channels();
  }
  __device__ bool has(int tap) const { return (taps >> tap & 1) != 0; }
  __device__ int tap_of(const ConvBundle& b, int tap) const {
    return (down + tap / window_side) * b.kernel[size] + across + tap % window_side;
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

template <class Numbers, class T>
__device__ void load_block(const Weights<T>& k, const WeightBlock& block, const Tile& tile,
                           const WeightMemory& memory) {
  const ConvBundle& b = k.d.p.bundle;
  const WeightTiling& t = k.t;
  const auto load = [&](const TilePlanes& planes, Bytes16* to, const auto& prepare) {
    load_tile<Numbers, WeightTiling::threads>(b, planes, tile, chunks_at<Numbers>(to), prepare);
  };
  load(t.u, memory.u, rectified<Numbers>(b, k.d.p.x, k.width, block.first_channel));
  const auto load_rows = [&](int s, int place) {
    load(t.dz, memory.dz(place), [&, s](int at) {
      return DifferentialChunk<Numbers, true, T>(k.d, s, block.first_row + at,
                                                 chunk_channels<Numbers>, chunk_channels<Numbers>);
    });
  };
  load_rows(block.size, 0);
  if (block.single >= 0) load_rows(block.single, 1);
  pixel_tiles::PixelWalk walk(static_cast<int>(threadIdx.x), WeightTiling::threads,
                              t.u.grid.columns);
  for (; walk.row < tile.rows; walk.advance())
    memory.starts[walk.row * t.u.grid.columns + walk.column] =
        walk.column < tile.columns ? walk.row * t.u.row_pitch + walk.column : -1;
}

/// Adds a tile to the sums: taps in pairs, the last of the window with the single one.
template <class Numbers>
__device__ void add_tile(const ConvBundle& b, const WeightTiling& t, const WeightBlock& block,
                         const WeightWarp& warp, int pixels, const WeightMemory& memory,
                         float (&sums)[all_taps][4]) {
  using Step = DepthStep<Numbers>;
  const int lane = static_cast<int>(threadIdx.x) % 32, pitch = t.u.row_pitch;
  const auto planes = [&](Bytes16* from, const TilePlanes& of, int channel) {
    const auto* first = chunks_at<Numbers>(from);
    return DepthPlanes<Numbers>{first + channel / chunk_channels<Numbers> * of.plane_pitch,
                                of.plane_pitch, chunks_at<Numbers>(memory.zeros)};
  };
  const int row = warp.row * WeightTiling::row_unit;
  const DepthPlanes<Numbers> u = planes(memory.u, t.u, warp.channel * WeightTiling::channel_unit),
                             dz = planes(memory.dz(0), t.dz, row),
                             single = planes(memory.dz(1), t.dz, row);
  const int corner = t.u.halo - b.kernel[block.size] / 2,
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
    rows.load(dz, left);
    const auto term_of = [&](int tap) {
      return DepthTerm<Numbers>{sums[tap], rows, shift_of(tap)};
    };
    DRNAS_UNROLL
    for (int tap = 0; tap + 1 < window_taps; tap += 2)
      if (block.has(tap) && block.has(tap + 1))
        multiply_depth(u, right, term_of(tap), term_of(tap + 1));
      else if (block.has(tap))
        multiply_depth(u, right, term_of(tap));
      else if (block.has(tap + 1))
        multiply_depth(u, right, term_of(tap + 1));
    if (block.single < 0) {
      if (block.has(window_taps - 1)) multiply_depth(u, right, term_of(window_taps - 1));
      continue;
    }
    LeftRows<Numbers> single_rows;
    single_rows.load(single, left);
    const DepthTerm<Numbers> centre{sums[all_taps - 1], single_rows, t.u.halo * pitch + t.u.halo};
    if (block.has(window_taps - 1))
      multiply_depth(u, right, term_of(window_taps - 1), centre);
    else
      multiply_depth(u, right, centre);
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
__device__ inline void store_tap(const ConvBundle& b, int s, int tap, int row, int channel,
                                 float* part, const float (&sums)[4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32, taps = b.kernel[s] * b.kernel[s],
            at = channel + lane % 4 * 2;
  if (at >= b.c) return;
  for (int half = 0; half < 2; ++half) {
    const int at_row = row + lane / 4 + 8 * half;
    if (at_row >= b.rows(s)) continue;
    float* to = part + (std::int64_t{at_row} * taps + tap) * b.c + at;
    if (b.c % 2 == 0) {
      store_channels(to, Channels<2>{{sums[2 * half], sums[2 * half + 1]}});
      continue;
    }
    to[0] = sums[2 * half];
    if (at + 1 < b.c) to[1] = sums[2 * half + 1];
  }
}

/// Is there something of the block that runs?
template <class T>
__device__ bool block_runs(const Weights<T>& k, const WeightBlock& block) {
  const auto open = [&](int s) {
    return k.d.p.gates.open_rows(k.d.p.bundle, s, block.first_row, block.first_row + k.t.rows());
  };
  return open(block.size) || (block.single >= 0 && open(block.single));
}

/// Grid (shares, blocks of a share).
template <class Numbers, class T>
__global__ void __launch_bounds__(WeightTiling::threads,
                                  sizeof(typename Numbers::Stored) == 2 ? 2 : 1)
    weight_kernel(Weights<T> k) {
  const ConvBundle& b = k.d.p.bundle;
  const WeightTiling& t = k.t;
  const WeightBlock block(b, t, static_cast<int>(blockIdx.y));
  if (!block_runs(k, block)) return;
  const WeightWarp warp(t);
  const WeightMemory memory(t, shared_memory());
  if (threadIdx.x == 0) {
    constexpr float zeros[chunk_channels<Numbers>] = {};
    store_operand<Numbers>(chunks_at<Numbers>(memory.zeros), zeros);
  }
  float sums[all_taps][4] = {};
  const int share = static_cast<int>(blockIdx.x), tiles = k.tiles;
  const auto begin_of = [&](int index) {
    return static_cast<int>(std::int64_t{tiles} * index / t.shares);
  };
  for (int index = begin_of(share), end = begin_of(share + 1); index < end; ++index) {
    const Tile tile(t.u.grid, b.h, b.w, index);
    load_block<Numbers>(k, block, tile, memory);
    __syncthreads();
    add_tile<Numbers>(b, t, block, warp, tile.rows * t.u.grid.columns, memory, sums);
    __syncthreads();
  }
  add_warps(t, warp, memory, sums);
  if (warp.depth > 0) return;
  float* part = k.parts + share * k.part_weights;
  const auto part_of = [&](int s) { return part + (s == 0 ? 0 : b.weight_count(0)); };
  const int row = block.first_row + WeightTiling::row_unit * warp.row,
            channel = block.first_channel + WeightTiling::channel_unit * warp.channel;
  DRNAS_UNROLL
  for (int tap = 0; tap < window_taps; ++tap)
    if (block.has(tap))
      store_tap(b, block.size, block.tap_of(b, tap), row, channel, part_of(block.size), sums[tap]);
  if (block.single >= 0)
    store_tap(b, block.single, 0, row, channel, part_of(block.single), sums[all_taps - 1]);
}

__global__ void __launch_bounds__(bundle_threads) add_weights_kernel(WeightSums sums) {
  add_weight(sums, global_thread());
}

std::int64_t weights_of(const ConvBundle& b) {
  std::int64_t count = 0;
  for (int s = 0; s < b.sizes; ++s) count += b.weight_count(s);
  return count;
}

template <class T>
WeightTiling tiling_of(const ConvBundle& b) {
  return with_numbers<T>([&]<class Numbers>() { return WeightTiling(b, chunk_channels<Numbers>); });
}

}  // namespace

template <class T>
bool runs_weight_tiles(const ConvBundle& b) {
  return conv_source() == ConvSource::own && tiling_of<T>(b).fits();
}

template <class T>
std::int64_t weight_parts(const ConvBundle& b) {
  return tiling_of<T>(b).shares * weights_of(b);
}

template <class T>
WeightSums bundle_tile_weights(const TileWeights<T>& p, Stream stream) {
  const ConvBundle& b = p.p.bundle;
  const WeightTiling t = tiling_of<T>(b);
  Weights<T> k{BundleDifferential<T>(p.p),     t,       1,
               static_cast<int>(t.u.tiles(b)), p.parts, weights_of(b)};
  std::copy_n(p.dz, b.sizes, k.d.stored);
  with_numbers<T>([&]<class Numbers>() {
    k.width = load_width<Numbers>(b.c);
    launch("conv_bundle_weights", weight_kernel<Numbers, T>,
           {t.shares, WeightTiling::threads, t.shared_bytes(),
            static_cast<unsigned>(t.blocks_of_share())},
           stream, k);
  });
  WeightSums sums{p.parts, t.shares, k.part_weights, {}, b.weight_count(0), {}, p.p.gates};
  for (int s = 0; s < b.sizes; ++s) {
    sums.slot_weights[s] = b.c * b.kernel[s] * b.kernel[s] * b.c;
    sums.to[s] = p.p.dweight[s];
  }
  return sums;
}

void bundle_add_weights(const WeightSums& sums, Stream stream) {
  launch("conv_bundle_add_weights", add_weights_kernel,
         {blocks_for(sums.weights, bundle_threads), bundle_threads}, stream, sums);
}

template bool runs_weight_tiles<float>(const ConvBundle&);
template bool runs_weight_tiles<bfloat16>(const ConvBundle&);
template std::int64_t weight_parts<float>(const ConvBundle&);
template std::int64_t weight_parts<bfloat16>(const ConvBundle&);
template WeightSums bundle_tile_weights<float>(const TileWeights<float>&, Stream);
template WeightSums bundle_tile_weights<bfloat16>(const TileWeights<bfloat16>&, Stream);

}  // namespace drnas::kernels
