// SPDX-License-Identifier: MIT
// What the kernels that convolve themselves share, for .cu files: how a block fills its shared
// memory with operands, and which columns a lane's sums belong to.
#pragma once

#include "kernels/core/channels.h"
#include "kernels/core/pixel_tiles.h"
#include "kernels/core/tile_planes.h"
#include "kernels/core/unroll.h"
#include "kernels/core/warp_product.h"

namespace drnas::kernels {
namespace {

/// Channels in 16 bytes.
template <class Numbers>
constexpr int chunk_channels = 16 / static_cast<int>(sizeof(typename Numbers::Stored));
/// Columns of a warp at the most, in eights: multiply-adds hold all columns of B in registers.
template <class Numbers>
constexpr int most_tile_n = Numbers::tensor ? 6 : 4;

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

/// A chunk of zeros, by one thread of the block.
template <class Numbers>
__device__ inline void store_zeros(Bytes16* to) {
  constexpr float zeros[chunk_channels<Numbers>] = {};
  if (threadIdx.x == 0) store_operand<Numbers>(chunks_at<Numbers>(to), zeros);
}

/// Extents of an image.
struct ImageSize {
  int h, w;
};

/// Fills planes with what the windows of a tile read; the first window of an image begins at
/// (begin_row, begin_column). prepare(channel) is for the chunk from this channel on; what it
/// returns is called as load(row, column, values) inside the image. Zeros outside.
template <class Numbers, int threads, class Prepare>
__device__ void load_planes(const TilePlanes& t, const ImageSize& image,
                            const pixel_tiles::Tile& tile, int begin_row, int begin_column,
                            Chunk<typename Numbers::Stored>* planes, const Prepare& prepare) {
  constexpr int E = chunk_channels<Numbers>;
  pixel_tiles::each_vector<threads>(t.planes, t.rows_of(tile.rows), t.row_pitch, [&](int plane) {
    return [&, load = prepare(plane * E), to = planes + plane * t.plane_pitch](int place, int row,
                                                                               int column) {
      float v[E] = {};
      const int i = tile.row * t.stride + begin_row + row,
                j = tile.column * t.stride + begin_column + column;
      if (i >= 0 && i < image.h && j >= 0 && j < image.w) load(i, j, v);
      store_operand<Numbers>(to + place, v);
    };
  });
}

/// Where pixel `index` of a tile lies in it, rows of A one after the other. False: past the tile.
__device__ inline bool find_pixel(const pixel_tiles::TileGrid& grid, const pixel_tiles::Tile& tile,
                                  int index, int& down, int& across) {
  down = index / grid.columns;
  across = index - down * grid.columns;
  return down < tile.rows && across < tile.columns;
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

/// First row of A of the warp.
template <int M>
__device__ inline int first_row() {
  return static_cast<int>(threadIdx.x) / 32 * 16 * M;
}

/// Blocks of a multiprocessor, by a lane's 4 M N sums: asked for so that the compiler spills
/// nothing to hold more of them. Multiply-adds have all columns of B in registers too.
template <class Numbers, int M, int N>
constexpr int resident_blocks = (M * N > 16  ? 2
                                 : M * N > 8 ? 3
                                             : 4) -
                                (Numbers::tensor ? 0 : 1);

/// Calls body.template operator()<M, N>() for a tile.
template <class Numbers, int most = most_tile_n<Numbers>, class Body>
void dispatch_tile(int m, int n, const Body& body) {
  const auto with_columns = [&]<int N>() {
    if (m == 4) return body.template operator()<4, N>();
    if (m == 2) return body.template operator()<2, N>();
    body.template operator()<1, N>();
  };
  if constexpr (most >= 6)
    if (n == 6) return with_columns.template operator()<6>();
  if (n == 4) return with_columns.template operator()<4>();
  if (n == 2) return with_columns.template operator()<2>();
  with_columns.template operator()<1>();
}

}  // namespace
}  // namespace drnas::kernels
