// SPDX-License-Identifier: MIT
// The reductions of the node mix that made a node, by the blocks that have made the node's gradient
// (bundle_tile_gradient.cu), for .cu files: dx of a block's tile is dy of the mix. Sums under
// transposed pools are taken by tiles: of a tile's dy alone, over its pixels and those around it.
#pragma once

#include "kernels/bundle/bundle_tile_gradient.h"
#include "kernels/bundle/node_mix_finish.h"
#include "kernels/core/tile_operands.h"
#include "kernels/core/warp_reduce.h"

namespace drnas::kernels {
namespace {

/// A block's shared memory for it.
struct ReductionMemory {
  double* sums;        ///< [terms + 1, sum_pitch], then of the sources [2, sources]
  double* value;       ///< [total_count]
  float* warp_sums;    ///< [terms + 1, warps, slice]
  float* source_sums;  ///< [warps, 2, sources]
  int* index;          ///< [total_count]
  unsigned* last;      ///< see arrives_last
  std::size_t bytes;

  /// With a null base it only counts.
  template <class T>
  DRNAS_HD ReductionMemory(const NodeMixOf<T>& p, int slice, void* base) {
    SharedCarver carve{static_cast<unsigned char*>(base)};
    const int totals = node_mix_device::total_count(p), sources = 2 * p.sources;
    sums = carve.take<double>((p.terms + 1) * (slice | 1) + sources);
    value = carve.take<double>(totals);
    warp_sums = carve.take<float>((p.terms + 1) * tile_warps * slice);
    source_sums = carve.take<float>(tile_warps * sources);
    index = carve.take<int>(totals);
    last = carve.take<unsigned>(1);
    bytes = carve.bytes;
  }
};

/// dx of a tile in shared memory, and what a thread takes of it: a chunk of channels of some
/// pixels.
template <class Numbers, class T>
struct TileDifferential {
  static constexpr int E = chunk_channels<Numbers>;
  using Values = float[E];

  const TilePlanes& planes;
  const pixel_tiles::Tile& tile;
  const Chunk<typename Numbers::Stored>* plane;  ///< of the thread's chunk
  int h, w;                                      ///< of the image
  int lanes;                                     ///< threads that take a pixel: a power of two
  int channel;                                   ///< first of the chunk; -1: there is none

  __device__ TileDifferential(const NodeMixOf<T>& p, const TilePlanes& planes_,
                              const pixel_tiles::Tile& tile_,
                              const Chunk<typename Numbers::Stored>* dx, int first, int slice)
      : planes(planes_), tile(tile_), h(p.h), w(p.w), lanes(slice / E) {
    const int own = static_cast<int>(threadIdx.x) % lanes;
    plane = dx + own * planes.plane_pitch;
    channel = first + own * E < p.c ? first + own * E : -1;
  }
  /// The gradient at a pixel of the tile.
  __device__ void load(int down, int across, Values& v) const {
    const auto chunk =
        load_packed(plane + planes.start(down + planes.halo(), across + planes.halo()));
    for (int i = 0; i < E; ++i) v[i] = static_cast<float>(chunk.element[i]);
  }
  /// P^T of the tile's gradient, at a pixel of it or around it.
  __device__ void spread(int down, int across, Values& sum) const {
    using pixel_tiles::window_share;
    for (int i = down - 1; i <= down + 1; ++i)
      for (int j = across - 1; j <= across + 1; ++j) {
        if (!tile.has(i, j)) continue;
        const float share = window_share(tile.row + i, h) * window_share(tile.column + j, w);
        Values v;
        load(i, j, v);
        for (int c = 0; c < E; ++c) sum[c] += share * v[c];
      }
  }
  /// Calls body(pixel, down, across) for the thread's pixels inside the image of the tile and
  /// `border` pixels around it.
  template <class Body>
  __device__ void each_pixel(int border, const Body& body) const {
    if (channel < 0) return;
    const int thread = static_cast<int>(threadIdx.x), rows = tile.rows + 2 * border;
    pixel_tiles::PixelWalk walk(thread / lanes, tile_threads / lanes, tile.columns + 2 * border);
    for (; walk.row < rows; walk.advance()) {
      const int down = walk.row - border, across = walk.column - border, i = tile.row + down,
                j = tile.column + across;
      if (i >= 0 && i < h && j >= 0 && j < w) body(tile.first_pixel + i * w + j, down, across);
    }
  }
};

template <int E>
__device__ inline float dot(const float (&a)[E], const float (&b)[E]) {
  float sum = 0;
  for (int i = 0; i < E; ++i) sum += a[i] * b[i];
  return sum;
}

/// Sums of dy x and P^T(dy) x over each warp.
template <class Numbers, class T>
__device__ void reduce_sources(const NodeMixOf<T>& p, const TileDifferential<Numbers, T>& dy,
                               const ReductionMemory& memory) {
  constexpr int E = chunk_channels<Numbers>, most = TileReduction<T>::most_sources;
  using node_mix_device::has_running;
  bool pools = false;
  unsigned read = 0;  // bit s: x of source s
  for (int s = 0; s < p.sources; ++s) {
    const bool pool = has_running(p, p.source[s].pool_theta);
    pools = pools || pool;
    if (pool || has_running(p, p.source[s].skip_theta)) read |= 1u << s;
  }
  float skip[most] = {}, pool[most] = {};
  dy.each_pixel(pools ? 1 : 0, [&](int pixel, int down, int across) {
    float direct[E] = {}, spread[E] = {};
    if (dy.tile.has(down, across)) dy.load(down, across, direct);
    if (pools) dy.spread(down, across, spread);
    DRNAS_UNROLL
    for (int s = 0; s < most; ++s) {
      if (!(read >> s & 1)) continue;
      float x[E];
      load_vector(p.source[s].x + pixel_tiles::offset_of(pixel, p.channels) + dy.channel, x);
      skip[s] += dot(direct, x);
      pool[s] += dot(spread, x);
    }
  });
  const int thread = static_cast<int>(threadIdx.x);
  float* to = memory.source_sums + thread / 32 * 2 * p.sources;
  DRNAS_UNROLL
  for (int s = 0; s < most; ++s) {
    if (s >= p.sources) continue;
    const float of_skip = warp_sum(skip[s]), of_pool = warp_sum(pool[s]);
    if (thread % 32 != 0) continue;
    to[s] = of_skip;
    to[p.sources + s] = of_pool;
  }
}

/// Sums of dy (z - mean) of a term, or of dy where t is their number, over each warp.
template <class Numbers, class T>
__device__ void reduce_term(const NodeMixOf<T>& p, const TileDifferential<Numbers, T>& dy, int t,
                            int slice, const ReductionMemory& memory) {
  constexpr int E = chunk_channels<Numbers>;
  float sum[E] = {}, mean[E] = {};
  const bool is_term = t < p.terms;
  if (is_term && dy.channel >= 0) load_by<4>(p.term[t].mean + dy.channel, E, mean);
  if (!is_term || p.gates.runs(p.theta, p.term[t].theta))
    dy.each_pixel(0, [&](int pixel, int down, int across) {
      float of_dy[E], z[E];
      dy.load(down, across, of_dy);
      if (is_term)
        load_vector(p.term[t].z + pixel_tiles::offset_of(pixel, p.term[t].z_stride) + dy.channel,
                    z);
      for (int i = 0; i < E; ++i) sum[i] += is_term ? of_dy[i] * (z[i] - mean[i]) : of_dy[i];
    });
  const int thread = static_cast<int>(threadIdx.x);
  float* to = memory.warp_sums + (t * tile_warps + thread / 32) * slice + thread % dy.lanes * E;
  DRNAS_UNROLL
  for (int i = 0; i < E; ++i) {
    for (int other = dy.lanes; other < 32; other *= 2)
      sum[i] += __shfl_xor_sync(full_warp, sum[i], other);
    if (thread % 32 < dy.lanes) to[i] = sum[i];
  }
}

/// Adds the warps' sums, in float64.
template <class T>
__device__ void add_warp_sums(const NodeMixOf<T>& p, int slice, int count, int sum_pitch,
                              const ReductionMemory& memory) {
  const int thread = static_cast<int>(threadIdx.x), sources = 2 * p.sources;
  for (int i = thread; i < (p.terms + 1) * count; i += tile_threads) {
    const int t = i / count, at = i - t * count;
    double sum = 0.0;
    for (int warp = 0; warp < tile_warps; ++warp)
      sum += memory.warp_sums[(t * tile_warps + warp) * slice + at];
    memory.sums[t * sum_pitch + at] = sum;
  }
  if (thread >= sources) return;
  double sum = 0.0;
  for (int warp = 0; warp < tile_warps; ++warp) sum += memory.source_sums[warp * sources + thread];
  memory.sums[(p.terms + 1) * sum_pitch + thread] = sum;
}

/// All sums of a block's tile, of the channels [first, first + slice); the last blocks finish them.
template <class Numbers, class T>
__device__ void reduce_tile(const TileReduction<T>& k, node_mix_device::Counters& counters,
                            const TilePlanes& planes, const pixel_tiles::Tile& tile,
                            const Chunk<typename Numbers::Stored>* dx, int first, int slice,
                            const ReductionMemory& memory) {
  const NodeMixOf<T>& p = k.b.mix;
  if (!node_mix_device::sums_wanted(k.b)) return;
  const TileDifferential<Numbers, T> dy(p, planes, tile, dx, first, slice);
  const int count = pixel_tiles::min_of(slice, p.c - first);
  if (k.b.dtheta) {
    reduce_sources(p, dy, memory);
  } else if (threadIdx.x < tile_warps) {
    for (int i = 0; i < 2 * p.sources; ++i)
      memory.source_sums[static_cast<int>(threadIdx.x) * 2 * p.sources + i] = 0.0f;
  }
  for (int t = 0; t <= p.terms; ++t) reduce_term(p, dy, t, slice, memory);
  __syncthreads();
  add_warp_sums(p, slice, count, k.out.sum_pitch, memory);
  // Sums of the channels past the last lie in the row too.
  const int padding = k.out.sum_pitch - count;
  for (int i = static_cast<int>(threadIdx.x); i < (p.terms + 1) * padding; i += tile_threads)
    memory.sums[i / padding * k.out.sum_pitch + count + i % padding] = 0.0;
  node_mix_device::finish_sums<tile_threads>(k.b, k.out, counters, {first, count}, memory.sums,
                                             memory.value, memory.index, memory.last);
}

}  // namespace
}  // namespace drnas::kernels
