// SPDX-License-Identifier: MIT
// What the kernels that convolve a bundle themselves share, for .cu files: how a block fills its
// shared memory, and which pixels and channels a lane's sums belong to.
#pragma once

#include "kernels/bundle/bundle_tile_memory.h"
#include "kernels/bundle/conv_bundle_device.h"
#include "kernels/bundle/pixel_tiles.h"
#include "kernels/core/warp_product.h"
#include "kernels/layers/conv2d.h"

/// Before loops over a lane's sums: unrolled, since else the sums would lie in memory.
#ifdef __CUDACC__
#define DRNAS_UNROLL _Pragma("unroll")
#else
#define DRNAS_UNROLL
#endif

namespace drnas::kernels {
namespace {

/// Channels in 16 bytes.
template <class Numbers>
constexpr int chunk_channels = 16 / static_cast<int>(sizeof(typename Numbers::Stored));
/// Columns of a warp, in eights: multiply-adds hold all columns of B in registers.
template <class Numbers>
constexpr TileLimits tile_limits{chunk_channels<Numbers>, Numbers::tensor ? 6 : 4, Numbers::tensor};

/// Chunks as the memory's bytes.
template <class Numbers>
__device__ inline Chunk<typename Numbers::Stored>* chunks_at(Bytes16* bytes) {
  return reinterpret_cast<Chunk<typename Numbers::Stored>*>(bytes);
}

/// The widest vector of at most a chunk that divides c.
template <class Numbers>
int load_width(int c) {
  int width = chunk_channels<Numbers>;
  while (c % width != 0) width /= 2;
  return width;
}

template <int V, class T, int E>
__device__ inline void load_by(const T* from, int count, float (&to)[E]) {
  for (int at = 0; at < E; at += V) {
    Channels<V> piece = {};
    if (at < count) piece = load_channels<V>(from + at);
    for (int i = 0; i < V; ++i) to[at + i] = piece.v[i];
  }
}
/// The `count` values from `from` on by vectors of `width`, zeros after them.
template <class T, int E>
__device__ inline void load_chunk(const T* from, int width, int count, float (&to)[E]) {
  if (width == E) return load_by<E>(from, count, to);
  if constexpr (E > 4)
    if (width == 4) return load_by<4>(from, count, to);
  if (width == 2) return load_by<2>(from, count, to);
  load_by<1>(from, count, to);
}

/// Numbers as they are stored, whatever they are multiplied as.
template <class Numbers>
struct Unrounded : Numbers {
  using Stored = typename Numbers::Stored;
  static __device__ Stored operand(float value) { return static_cast<Stored>(value); }
};

template <class Numbers, int E>
__device__ inline void store_operand(Chunk<typename Numbers::Stored>* to, const float (&from)[E]) {
  Chunk<typename Numbers::Stored> chunk;
  for (int i = 0; i < E; ++i) chunk.element[i] = Numbers::operand(from[i]);
  store_packed(to, chunk);
}

/// Fills planes with a tile and its halo. prepare(channel) is for the chunk from this channel on;
/// what it returns is called as load(pixel, values) inside the image. Zeros outside.
template <class Numbers, int threads = tile_threads, class Prepare>
__device__ void load_tile(const ConvBundle& b, const TilePlanes& t, const pixel_tiles::Tile& tile,
                          Chunk<typename Numbers::Stored>* planes, const Prepare& prepare) {
  constexpr int E = chunk_channels<Numbers>;
  pixel_tiles::each_vector<threads>(t.planes, tile.rows + 2 * t.halo, t.row_pitch, [&](int plane) {
    return [&, load = prepare(plane * E), to = planes + plane * t.plane_pitch](int place, int row,
                                                                               int column) {
      float v[E] = {};
      const int i = tile.row + row - t.halo, j = tile.column + column - t.halo;
      if (i >= 0 && i < b.h && j >= 0 && j < b.w) load(tile.first_pixel + i * b.w + j, v);
      store_operand<Numbers>(to + place, v);
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

/// The zeros after the tiles.
template <class Numbers>
__device__ inline void store_zeros(const BundleTiling& t, const TileMemory& memory) {
  constexpr float zeros[chunk_channels<Numbers>] = {};
  if (threadIdx.x == 0)
    store_operand<Numbers>(chunks_at<Numbers>(memory.u) + TileMemory::zero(t), zeros);
}

/// u = max(0, x) of a tile.
template <class Numbers, class T>
__device__ void load_rectified_tile(const ConvBundle& b, const BundleTiling& t,
                                    const pixel_tiles::Tile& tile, const T* x, int width,
                                    const TileMemory& memory) {
  load_tile<Numbers>(b, t, tile, chunks_at<Numbers>(memory.u), rectified<Numbers>(b, x, width));
  store_zeros<Numbers>(t, memory);
}

/// The channels of a slice that a lane holds: pairs of eights are woven so that a lane's four are
/// neighbours. Column `column` of the slice is this channel of it.
template <int N>
__device__ inline int channel_of(int column) {
  if (N == 1) return column;
  const int in_eight = column % 8;
  return column / 16 * 16 + in_eight / 2 * 4 + column / 8 % 2 * 2 + in_eight % 2;
}
/// The column of a channel of the slice.
template <int N>
__device__ inline int column_of(int channel) {
  if (N == 1) return channel;
  return channel / 16 * 16 + channel / 2 % 2 * 8 + channel % 16 / 4 * 2 + channel % 2;
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
  const int k = b.kernel[s], shift = t.halo - k / 2;
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
    down = row / t.grid.columns;
    across = row - down * t.grid.columns;
    return down < tile.rows && across < tile.columns;
  }
  /// Where its window begins in a plane of u; of rows past the tile, some place.
  __device__ int start(int row) const {
    int down, across;
    return find(row, down, across) ? down * t.row_pitch + across : 0;
  }
  /// -1: past the tile.
  __device__ int pixel(int row) const {
    int down, across;
    if (!find(row, down, across)) return -1;
    return tile.first_pixel + (tile.row + down) * image_width + tile.column + across;
  }
};

/// First row of A of the warp.
template <int M>
__device__ inline int first_row() {
  return static_cast<int>(threadIdx.x) / 32 * 16 * M;
}

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

/// Blocks of a multiprocessor, by a lane's 4 M N sums: asked for so that the compiler spills
/// nothing to hold more of them. Multiply-adds have all columns of B in registers too.
template <class Numbers, int M, int N>
constexpr int resident_blocks = (M * N > 16  ? 2
                                 : M * N > 8 ? 3
                                             : 4) -
                                (Numbers::tensor ? 0 : 1);

/// A tiling's grid (tiles, slices).
inline LaunchShape launch_shape(const BundleTiling& t, const ConvBundle& b) {
  return {t.tiles(b), tile_threads, t.shared_bytes(), static_cast<unsigned>(t.slices)};
}

/// Calls body.template operator()<M, N>() for a tiling.
template <class Numbers, class Body>
void dispatch_tile(const BundleTiling& t, const Body& body) {
  const auto with_columns = [&]<int N>() {
    if (t.m == 4) return body.template operator()<4, N>();
    if (t.m == 2) return body.template operator()<2, N>();
    body.template operator()<1, N>();
  };
  if constexpr (tile_limits<Numbers>.most_n >= 6)
    if (t.n == 6) return with_columns.template operator()<6>();
  if (t.n == 4) return with_columns.template operator()<4>();
  if (t.n == 2) return with_columns.template operator()<2>();
  with_columns.template operator()<1>();
}

/// Calls body.template operator()<Numbers>() for how T is multiplied.
template <class T, class Body>
auto with_numbers(const Body& body) {
  if constexpr (!std::is_same_v<T, float>)
    return body.template operator()<Bfloat16Numbers>();
  else if (conv_math() == ConvMath::tf32)
    return body.template operator()<Tf32Numbers>();
  else
    return body.template operator()<Fp32Numbers>();
}

}  // namespace
}  // namespace drnas::kernels
