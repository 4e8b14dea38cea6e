// SPDX-License-Identifier: MIT
// What the kernels that convolve a bundle themselves share, for .cu files: how a block fills its
// shared memory, and which pixels and channels a lane's sums belong to.
#pragma once

#include "kernels/bundle/bundle_tile_memory.h"
#include "kernels/bundle/conv_bundle_device.h"
#include "kernels/core/tile_operands.h"
#include "kernels/layers/conv_numbers.h"

namespace drnas::kernels {
namespace {

template <class Numbers>
constexpr TileLimits tile_limits{chunk_channels<Numbers>, most_tile_n<Numbers>, Numbers::tensor};

/// Fills planes with a tile and its halo. prepare(channel) is for the chunk from this channel on;
/// what it returns is called as load(pixel, values) inside the image. Zeros outside.
template <class Numbers, int threads = tile_threads, class Prepare>
__device__ void load_tile(const ConvBundle& b, const TilePlanes& t, const pixel_tiles::Tile& tile,
                          Chunk<typename Numbers::Stored>* planes, const Prepare& prepare) {
  const int halo = t.halo();
  load_planes<Numbers, threads>(t, {b.h, b.w}, tile, -halo, -halo, planes, [&](int channel) {
    return [&b, &tile, load = prepare(channel)](int i, int j, float(&v)[chunk_channels<Numbers>]) {
      load(tile.first_pixel + i * b.w + j, v);
    };
  });
}

/// For load_tile: u = max(0, x) from channel `first` of x on.
template <class Numbers, class T>
__device__ inline auto rectified(const ConvBundle& b, const T* x, int width, int first = 0) {
  return [&b, x, width, first](int at) {
    return [&b, from = x + first + at, width, count = b.c - first - at](
               int pixel, float(&v)[chunk_channels<Numbers>]) {
      load_chunk(from + pixel_tiles::offset_of(pixel, b.read_stride()), width, count, v);
      for (float& value : v) value = value > 0.0f ? value : 0.0f;
    };
  };
}

/// u = max(0, x) of a tile.
template <class Numbers, class T>
__device__ void load_rectified_tile(const ConvBundle& b, const BundleTiling& t,
                                    const pixel_tiles::Tile& tile, const T* x, int width,
                                    const TileMemory& memory) {
  load_tile<Numbers>(b, t, tile, chunks_at<Numbers>(memory.u), rectified<Numbers>(b, x, width));
  store_zeros<Numbers>(memory.u + TileMemory::zero(t));
}

/// Columns of B, the weights of one size and of a slice: load(channel, tap, at, values) fills a
/// chunk of depth from an input channel `at` on, zeros where depth is rounded up.
template <class Numbers, int N, class Load>
__device__ void load_columns(const ConvBundle& b, const BundleTiling& t, int s,
                             const TileMemory& memory, const Load& load) {
  constexpr int E = chunk_channels<Numbers>;
  auto* to = chunks_at<Numbers>(memory.weights(s));
  const int taps = b.kernel[s] * b.kernel[s];
  pixel_tiles::PixelWalk walk(static_cast<int>(threadIdx.x), tile_threads, t.chunks[s]);
  for (; walk.row < 8 * N; walk.advance()) {
    const int channel = walk.row, tap = walk.column / t.planes;
    float v[E] = {};
    if (tap < taps) load(channel, tap, (walk.column - tap * t.planes) * E, v);
    store_operand<Numbers>(to + walk.column * t.weight_pitch() + column_of<N>(channel), v);
  }
}

/// The given weights of a slice that begins at channel `first`; zeros for channels that there are
/// not.
template <class Numbers, int N, class T>
__device__ void load_weights(const ConvBundle& b, const BundleTiling& t, int s, int first,
                             const T* weight, int width, const TileMemory& memory) {
  const int taps = b.kernel[s] * b.kernel[s], present = b.rows(s) - first;
  load_columns<Numbers, N>(
      b, t, s, memory, [&](int channel, int tap, int at, float(&v)[chunk_channels<Numbers>]) {
        if (channel < present)
          load_chunk(weight + (std::int64_t{first + channel} * taps + tap) * b.c + at, width,
                     b.c - at, v);
      });
}

/// Where each chunk of a size's depth lies in `input`, from the first pixel of the largest window.
__device__ inline void load_offsets(const ConvBundle& b, const BundleTiling& t, int s, int input,
                                    const TileMemory& memory) {
  const int k = b.kernel[s], shift = t.halo() - k / 2;
  for (int chunk = static_cast<int>(threadIdx.x); chunk < t.chunks[s]; chunk += tile_threads) {
    const int tap = chunk / t.planes, plane = chunk % t.planes,
              place = (input * t.planes + plane) * t.plane_pitch + (tap / k + shift) * t.row_pitch +
                      tap % k + shift;
    memory.offsets(s)[chunk] = tap >= k * k ? -1 : place;
  }
}

/// The pixels of a tile, rows of A: first their place in u, then in the batch.
struct TileRows {
  const BundleTiling& t;
  const pixel_tiles::Tile& tile;
  int image_width;

  /// False: past the tile.
  __device__ bool find(int row, int& down, int& across) const {
    return find_pixel(t.grid, tile, row, down, across);
  }
  /// Where its window begins in a plane of u; of rows past the tile, some place.
  __device__ int start(int row) const {
    int down, across;
    return find(row, down, across) ? t.start(down, across) : 0;
  }
  /// In the batch.
  __device__ int pixel(int down, int across) const {
    return tile.first_pixel + (tile.row + down) * image_width + tile.column + across;
  }
  /// -1: past the tile.
  __device__ int pixel(int row) const {
    int down, across;
    return find(row, down, across) ? pixel(down, across) : -1;
  }
};

template <class Numbers, int M>
__device__ LeftOperand<Numbers, M> left_operand(const TileRows& rows, const TileMemory& memory) {
  LeftOperand<Numbers, M> a{chunks_at<Numbers>(memory.u), TileMemory::zero(rows.t), {}};
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int m = 0; m < M; ++m)
    for (int i = 0; i < LaneRows<Numbers>::count; ++i)
      a.start[m][i] = rows.start(first_row<M>() + 16 * m + LaneRows<Numbers>::row(lane, i));
  return a;
}

/// sums += u * W of one size for the warp's pixels and the slice; of a warp that has no pixels they
/// stay.
template <class Numbers, int M, int N>
__device__ void convolve_tile(const TileRows& rows, int s, const LeftOperand<Numbers, M>& a,
                              const TileMemory& memory, float (&sums)[M][N][4]) {
  const BundleTiling& t = rows.t;
  if (first_row<M>() >= rows.tile.rows * t.grid.columns) return;
  const auto* b = chunks_at<Numbers>(memory.weights(s));
  const int pitch = t.weight_pitch();
  for (int chunk = 0; chunk < t.chunks[s]; chunk += 2)
    multiply_step(sums, a, memory.offsets(s) + chunk, b + chunk * pitch, pitch);
}

/// The pixels of a lane's sums, rows lane / 4 and lane / 4 + 8 of each sixteen; -1 past the tile.
template <int M>
struct LanePixels {
  int at[M][2];

  __device__ explicit LanePixels(const TileRows& rows) {
    const int row = first_row<M>() + static_cast<int>(threadIdx.x) % 32 / 4;
    for (int m = 0; m < M; ++m)
      for (int i = 0; i < 2; ++i) at[m][i] = rows.pixel(row + 16 * m + 8 * i);
  }
};

/// Rounds the sums as they are stored, zeros in the padding of z.
template <int M, int N, class T>
__device__ void round_sums(const ConvBundle& b, int s, int first, float (&sums)[M][N][4]) {
  const int column = static_cast<int>(threadIdx.x) % 4 * 2;
  DRNAS_UNROLL
  for (int n = 0; n < N; ++n)
    for (int v = 0; v < 2; ++v) {
      const bool given = first + channel_of<N>(8 * n + column + v) < b.rows(s);
      for (int m = 0; m < M; ++m)
        for (int i = 0; i < 2; ++i) {
          float& sum = sums[m][n][2 * i + v];
          sum = given ? static_cast<float>(static_cast<T>(sum)) : 0.0f;
        }
    }
}

template <int M, int N, class T>
__device__ void store_sums(const ConvBundle& b, int s, int first, const LanePixels<M>& pixels, T* z,
                           const float (&sums)[M][N][4]) {
  constexpr int side = N == 1 ? 1 : 2;  // eights whose channels are neighbours in a lane
  const int column = static_cast<int>(threadIdx.x) % 4 * 2, stride = b.z_channels(s);
  DRNAS_UNROLL
  for (int n = 0; n < N; n += side) {
    const int channel = first + channel_of<N>(8 * n + column);
    if (channel >= stride) continue;
    DRNAS_UNROLL
    for (int m = 0; m < M; ++m)
      for (int i = 0; i < 2; ++i) {
        if (pixels.at[m][i] < 0) continue;
        Channels<2 * side> out;
        for (int k = 0; k < side; ++k)
          for (int v = 0; v < 2; ++v) out.v[2 * k + v] = sums[m][n + k][2 * i + v];
        store_channels(z + pixel_tiles::offset_of(pixels.at[m][i], stride) + channel, out);
      }
  }
}

/// A tiling's grid (tiles, slices).
inline LaunchShape launch_shape(const BundleTiling& t, const ConvBundle& b) {
  return {t.tiles(b), tile_threads, t.shared_bytes(), static_cast<unsigned>(t.slices)};
}

}  // namespace
}  // namespace drnas::kernels
