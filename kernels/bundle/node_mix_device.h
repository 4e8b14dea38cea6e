// SPDX-License-Identifier: MIT
// What the CUDA kernels of node_mix share: tiles of an image and of its mixed channels, vectors of
// channels, and windows of the 3x3 average pool.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "kernels/bundle/node_mix.h"
#include "kernels/core/cuda_vector.h"

/// Before loops over arrays that must stay in registers, and before loops that would take too many
/// registers if they were unrolled.
#ifdef __CUDACC__
#define DRNAS_MIX_UNROLL _Pragma("unroll")
#define DRNAS_MIX_ROLLED _Pragma("unroll 1")
#else
#define DRNAS_MIX_UNROLL
#define DRNAS_MIX_ROLLED
#endif

namespace drnas::kernels::node_mix_device {

inline constexpr int threads = 256;
/// Most mixed channels that a block looks at, most rows and columns of its tile.
inline constexpr int max_chunk = 32, max_tile_rows = 8, max_tile_columns = 32;
/// Blocks that keep a large GPU busy.
inline constexpr int enough_blocks = 256;

DRNAS_HD constexpr int min_of(int a, int b) { return a < b ? a : b; }

/// Pixels of a tile that one thread holds in registers, V channels of each.
DRNAS_HD constexpr int held_pixels(int v) { return min_of(16 / v, 8); }

/// V channels of a pixel, in float32.
template <int V>
struct Floats {
  float lane[V] = {};
};

/// Up to 16 bytes in memory.
template <class T, int V>
struct alignas(V * sizeof(T)) Packed {
  T lane[V];
};

/// `from` is aligned for V numbers or 16 bytes, whichever is less.
template <int V, class T>
__device__ Floats<V> load(const T* from) {
  constexpr int piece = min_of(V, 16 / sizeof(T));
  Floats<V> values;
  DRNAS_MIX_UNROLL
  for (int first = 0; first < V; first += piece) {
    const auto packed = load_packed(reinterpret_cast<const Packed<T, piece>*>(from + first));
    DRNAS_MIX_UNROLL
    for (int k = 0; k < piece; ++k) values.lane[first + k] = static_cast<float>(packed.lane[k]);
  }
  return values;
}
template <int V, class T>
__device__ void store(T* to, const Floats<V>& values) {
  constexpr int piece = min_of(V, 16 / sizeof(T));
  DRNAS_MIX_UNROLL
  for (int first = 0; first < V; first += piece) {
    Packed<T, piece> packed;
    DRNAS_MIX_UNROLL
    for (int k = 0; k < piece; ++k) packed.lane[k] = static_cast<T>(values.lane[first + k]);
    store_packed(reinterpret_cast<Packed<T, piece>*>(to + first), packed);
  }
}
template <int V>
__device__ void add(Floats<V>& sum, const Floats<V>& values) {
  DRNAS_MIX_UNROLL
  for (int k = 0; k < V; ++k) sum.lane[k] += values.lane[k];
}
/// sum += weight * values.
template <int V>
__device__ void add_weighted(Floats<V>& sum, float weight, const Floats<V>& values) {
  DRNAS_MIX_UNROLL
  for (int k = 0; k < V; ++k) sum.lane[k] += weight * values.lane[k];
}
template <int V>
__device__ float dot(const Floats<V>& a, const Floats<V>& b) {
  float sum = 0.0f;
  DRNAS_MIX_UNROLL
  for (int k = 0; k < V; ++k) sum += a.lane[k] * b.lane[k];
  return sum;
}

/// One over the number of pixels of a window [i-1, i+1] that lie inside [0, size).
__device__ inline float window_share(int i, int size) {
  const int count = 1 + (i > 0) + (i + 1 < size);
  return count == 3 ? 1.0f / 3 : count == 2 ? 0.5f : 1.0f;
}

/// Blocks are tiles of images times chunks of mixed channels.
struct Tiling {
  int chunk, chunks;            ///< channels of a block; blocks that share the channels
  int rows, columns;            ///< largest tile
  int tile_rows, tile_columns;  ///< tiles of an image: down, across
  std::int64_t tiles;           ///< of all images
  bool pools;                   ///< an average pool takes part

  DRNAS_HD int pixels() const { return rows * columns; }
  /// Floats of a tile with one pixel around it; none where there are no pools.
  DRNAS_HD int halo_floats() const { return pools ? (rows + 2) * (columns + 2) * chunk : 0; }
};

/// How many chunks of at most max_chunk channels there are.
inline int chunk_count(int c) { return (c + max_chunk - 1) / max_chunk; }

/// Tiles for threads that take v channels at a time and hold held_pixels(v) pixels each.
template <class T>
Tiling make_tiling(const NodeMixOf<T>& p, int v) {
  const auto divide = [](int a, int b) { return (a + b - 1) / b; };
  if (std::int64_t{p.n} * p.h * p.w > INT32_MAX)
    throw Error("node_mix: " + std::to_string(p.n) + " images of " + std::to_string(p.h) + "x" +
                std::to_string(p.w) + " pixels, expected fewer than 2^31 pixels");
  Tiling t{};
  t.chunk = divide(divide(p.c, chunk_count(p.c)), v) * v;
  t.chunks = divide(p.c, t.chunk);
  t.columns = divide(p.w, divide(p.w, max_tile_columns));
  const int groups = t.chunk / v, most = threads / groups * held_pixels(v);
  t.rows = std::min({p.h, max_tile_rows, most / t.columns});
  const auto tiles = [&] {
    return std::int64_t{p.n} * divide(p.h, t.rows) * divide(p.w, t.columns);
  };
  while (t.rows > 1 && tiles() * t.chunks < enough_blocks && t.pixels() * groups > threads)
    t.rows = divide(t.rows, 2);
  t.tile_rows = divide(p.h, t.rows);
  t.rows = divide(p.h, t.tile_rows);
  t.tile_columns = divide(p.w, t.columns);
  t.tiles = tiles();
  for (int s = 0; s < p.sources; ++s) t.pools = t.pools || p.source[s].pool_theta >= 0;
  return t;
}

/// The part of an image that a block works on.
struct Tile {
  int first_pixel;  ///< of the image
  int row, column;  ///< of the tile's first pixel
  int rows, columns;

  template <class T>
  __device__ Tile(const NodeMixOf<T>& p, const Tiling& t, int index) {
    const int across = index % t.tile_columns, down = index / t.tile_columns;
    first_pixel = down / t.tile_rows * p.h * p.w;
    row = down % t.tile_rows * t.rows;
    column = across * t.columns;
    rows = min_of(t.rows, p.h - row);
    columns = min_of(t.columns, p.w - column);
  }
  __device__ int pixels() const { return rows * columns; }
};

/// Channels of a block and how its threads share them: `group` names V of them, `slot` the pixels
/// slot, slot + slots, ... Threads beyond the last slot have nothing to do.
struct Share {
  int first, count;  ///< channels
  int groups, group, slots, slot;

  __device__ Share(int c, int chunk, int v) {
    first = blockIdx.y * chunk;
    count = min_of(chunk, c - first);
    groups = count / v;
    slots = threads / groups;
    group = threadIdx.x % groups;
    slot = threadIdx.x / groups;
  }
  __device__ bool idle() const { return slot >= slots; }
};

/// Steps through the pixels of a rectangle `columns` wide without dividing.
struct PixelWalk {
  int row, column, down, across, columns;

  __device__ PixelWalk(int first, int step, int columns_)
      : row(first / columns_),
        column(first % columns_),
        down(step / columns_),
        across(step % columns_),
        columns(columns_) {}
  __device__ void advance() {
    row += down;
    column += across;
    if (column < columns) return;
    column -= columns;
    ++row;
  }
};

/// Element offset of a pixel, both below 2^31.
__device__ inline std::int64_t offset_of(int pixel, std::int64_t stride) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(static_cast<std::uint32_t>(pixel)) *
                                   static_cast<std::uint32_t>(stride));
}

/// halo[rows + 2, columns + 2, count] = value(pixel) for the pixels of a tile and one around it,
/// zero outside the image.
template <int V, class Value>
__device__ void fill_halo(int h, int w, const Tile& tile, const Share& share, float* halo,
                          const Value& value) {
  if (share.idle()) return;
  const int width = tile.columns + 2, pixels = (tile.rows + 2) * width;
  PixelWalk walk(share.slot, share.slots, width);
  for (int i = share.slot; i < pixels; i += share.slots, walk.advance()) {
    const int row = tile.row + walk.row - 1, column = tile.column + walk.column - 1;
    Floats<V> values;
    if (row >= 0 && row < h && column >= 0 && column < w)
      values = value(tile.first_pixel + row * w + column);
    store<V>(halo + i * share.count + share.group * V, values);
  }
}

/// Lowest set bit of everything that vectors of T must divide, at most 16 bytes, in elements.
/// `dense` is y or dy, stored in vectors where no channels are shuffled.
template <class T>
int vector_width(const NodeMixOf<T>& p, const T* dense) {
  const auto address = [](const void* pointer) {
    return reinterpret_cast<std::uintptr_t>(pointer);
  };
  std::uintptr_t bits = 16 | p.c * sizeof(T);
  if (p.parts() == 1) bits |= address(dense);
  for (int t = 0; t < p.terms; ++t) bits |= address(p.term[t].z) | p.term[t].z_stride * sizeof(T);
  for (int s = 0; s < p.sources; ++s) bits |= address(p.source[s].x);
  return static_cast<int>((bits & -bits) / sizeof(T));
}

/// Calls body.template operator()<V>() for a width that vector_width gave.
template <class T, class Body>
void dispatch_width(int width, const Body& body) {
  if constexpr (sizeof(T) == 2)
    if (width == 8) return body.template operator()<8>();
  if (width == 4) return body.template operator()<4>();
  if (width == 2) return body.template operator()<2>();
  body.template operator()<1>();
}

}  // namespace drnas::kernels::node_mix_device
