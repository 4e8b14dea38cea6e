// SPDX-License-Identifier: MIT
// What the CUDA kernels of batch_norm share. Two launches a direction: a reduction over pixels
// whose last block merges the blocks' results in order, then an element-wise pass. Both cover
// [pixels, channels] by ChannelTiles.
#pragma once

#include <cmath>

#include "kernels/core/arrival.h"
#include "kernels/core/cuda_tiles.h"
#include "kernels/layers/batch_norm.h"

namespace drnas::kernels {
namespace {

constexpr int reduce_threads = 512, apply_threads = 256;
constexpr int most_lanes = 64;      // vectors of channels in a tile
constexpr int batch = 4;            // pixels whose loads a thread starts together
constexpr int enough_blocks = 132;  // more would only lengthen the merge of blocks
constexpr int most_per_thread = 256;

using Counters = ArrivalCounters<1024>;
__device__ Counters counters;  // of a reduction's tiles

/// The reduction's blocks: block b of a tile takes pixels_per_block pixels from b *
/// pixels_per_block on.
struct Split {
  ChannelTiles tiles;
  std::int64_t pixels_per_block, blocks;

  Split(const BatchNorm& p, int width) : tiles(p.channels / width, most_lanes, reduce_threads) {
    const std::int64_t step = std::int64_t{tiles.rows} * batch;
    const std::int64_t wanted = std::max(1, enough_blocks / tiles.tiles);
    pixels_per_block = std::min(blocks_for(blocks_for(p.pixels, wanted), step) * step,
                                std::int64_t{tiles.rows} * most_per_thread);
    blocks = blocks_for(p.pixels, pixels_per_block);
    if (tiles.tiles > Counters::size)
      throw Error("batch_norm: " + std::to_string(p.channels) + " channels, expected at most " +
                  std::to_string(Counters::size * most_lanes * width));
  }
};

/// The workspace: scale, shift, slope, constant [channels] each, aligned for vectors; and two
/// results of every block, [blocks][2][channels].
struct Scratch {
  float *scale, *shift, *slope, *constant, *partial;

  static std::int64_t padded(std::int64_t count) { return blocks_for(count, 4) * 4; }
  static std::int64_t floats(const BatchNorm& p, const Split& split) {
    return 4 * padded(p.channels) + split.blocks * 2 * p.channels;
  }
  Scratch(const BatchNorm& p, void* workspace)
      : scale(static_cast<float*>(workspace)),
        shift(scale + padded(p.channels)),
        slope(shift + padded(p.channels)),
        constant(slope + padded(p.channels)),
        partial(constant + padded(p.channels)) {}
};

/// The pixels that one thread reduces, `rows` apart, a few at a time.
struct PixelRange {
  std::int64_t first, end;
  int step;

  __device__ PixelRange(const BatchNorm& p, const Split& split, const TilePlace& place)
      : first(blockIdx.x * split.pixels_per_block + place.row),
        end((blockIdx.x + 1) * split.pixels_per_block < p.pixels
                ? (blockIdx.x + 1) * split.pixels_per_block
                : p.pixels),
        step(split.tiles.rows) {}
  /// How many of the `batch` pixels from `pixel` on there are.
  __device__ int count(std::int64_t pixel) const {
    int inside = 0;
    for (int k = 0; k < batch; ++k) inside += pixel + k * step < end;
    return inside;
  }
  /// The N pixels from `pixel` on, zeros past the end.
  template <int N, int V, class T>
  __device__ void load(const T* x, const BatchNorm& p, int group, std::int64_t pixel,
                       float (&to)[N][V]) const {
    const T* from = x + pixel * p.channels + group * V;
    const std::int64_t stride = std::int64_t{step} * p.channels;
    for (int k = 0; k < N; ++k) {
      for (int v = 0; v < V; ++v) to[k][v] = 0.0f;
      if (pixel + k * step < end) load_vector(from + k * stride, to[k]);
    }
  }
};

/// Writes a block's two results; true in the tile's last block.
template <int V>
__device__ inline bool finish_block(const BatchNorm& p, const Scratch& scratch,
                                    const TilePlace& place, const float (&values)[2][V]) {
  if (place.active && place.row == 0) {
    float* out = scratch.partial + blockIdx.x * 2 * std::int64_t{p.channels} + place.group * V;
    store_vector(out, values[0]);
    store_vector(out + p.channels, values[1]);
  }
  return arrives_last(counters.counter + blockIdx.y, gridDim.x,
                      static_cast<unsigned*>(shared_memory()));
}

/// How the tile's last block merges blocks: a thread takes one channel and every rows-th block.
struct MergePlace {
  int width, rows, column, row, channel;

  __device__ MergePlace(const BatchNorm& p, const Split& split, int vector) {
    const int first = static_cast<int>(blockIdx.y) * split.tiles.lanes * vector;
    width = min(split.tiles.lanes * vector, p.channels - first);
    rows = static_cast<int>(blockDim.x) / width;
    column = static_cast<int>(threadIdx.x) % width;
    row = static_cast<int>(threadIdx.x) / width;
    channel = first + column;
  }
  /// Sum over blocks of term(block, first result, second result).
  template <class Term>
  __device__ double sum(const BatchNorm& p, const Split& split, const float* partial,
                        const Term& term) const {
    double total = 0.0;
    if (row < rows)
      for (int b = row; b < split.blocks; b += rows) {
        const float* of_block = partial + std::int64_t{b} * 2 * p.channels + channel;
        total += term(b, of_block[0], of_block[p.channels]);
      }
    return sum_columns(total, row, column, rows, width);
  }
  __device__ static int min(int a, int b) { return a < b ? a : b; }
};

/// Scale and shift of the vector of channels from `channel` on, as the reduction left them.
struct StoredAffine {
  const float *scale, *shift;

  template <int V>
  __device__ void load(int channel, float (&a)[V], float (&b)[V]) const {
    load_vector(scale + channel, a);
    load_vector(shift + channel, b);
  }
};

/// V values of an array of channels, as one vector where `whole`.
template <int V>
__device__ inline void load_parameters(const float* from, bool whole, float (&to)[V]) {
  if (whole) return load_vector(from, to);
  for (int v = 0; v < V; ++v) to[v] = from[v];
}

/// Scale and shift from statistics: mean and inv_std, or with `variance` mean and variance.
template <bool variance>
struct StatisticsAffine {
  BatchNorm p;
  const float *mean, *spread;
  bool whole;  ///< all arrays are aligned for vectors

  StatisticsAffine(const BatchNorm& norm, const float* mean_, const float* spread_, int width)
      : p(norm),
        mean(mean_),
        spread(spread_),
        whole(aligned_for(width, p.gamma, p.beta, mean, spread)) {}

  template <int V>
  __device__ void load(int channel, float (&a)[V], float (&b)[V], float (&centre)[V]) const {
    load_parameters(spread + channel, whole, a);
    load_parameters(mean + channel, whole, centre);
    for (int v = 0; v < V && variance; ++v) a[v] = 1.0f / sqrtf(a[v] + p.eps);
    for (int v = 0; v < V; ++v) b[v] = 0.0f;
    if (p.gamma) {
      float gamma[V];
      load_parameters(p.gamma + channel, whole, gamma);
      for (int v = 0; v < V; ++v) a[v] *= gamma[v];
    }
    if (p.beta) load_parameters(p.beta + channel, whole, b);
    for (int v = 0; v < V; ++v) b[v] = fmaf(-a[v], centre[v], b[v]);
  }
  template <int V>
  __device__ void load(int channel, float (&a)[V], float (&b)[V]) const {
    float centre[V];
    load(channel, a, b, centre);
  }
};

/// Starts a reduction.
template <class Kernel, class... Args>
void launch_reduction(const char* name, Kernel kernel, const Split& split, int width, Stream stream,
                      const Args&... args) {
  const LaunchShape shape{split.blocks, reduce_threads,
                          reduce_rows_bytes(2 * width, reduce_threads),
                          static_cast<unsigned>(split.tiles.tiles)};
  launch(name, kernel, shape, stream, args...);
}

/// Starts an element-wise pass.
template <class Kernel, class... Args>
void launch_apply(const char* name, Kernel kernel, const BatchNorm& p, const ChannelTiles& tiles,
                  Stream stream, const Args&... args) {
  const LaunchShape shape{blocks_for(p.pixels, std::int64_t{tiles.rows} * batch), apply_threads, 0,
                          static_cast<unsigned>(tiles.tiles)};
  launch(name, kernel, shape, stream, p, tiles, args...);
}

ChannelTiles apply_tiles(const BatchNorm& p, int width) {
  return {p.channels / width, most_lanes, apply_threads};
}

}  // namespace
}  // namespace drnas::kernels
