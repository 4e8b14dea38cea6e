// SPDX-License-Identifier: MIT
// What the CUDA kernels of node_mix share: tiles of an image and of its mixed channels, vectors of
// channels, and their order in a shuffle.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "kernels/bundle/node_mix.h"
#include "kernels/core/cuda_vector.h"
#include "kernels/core/launch.h"
#include "kernels/core/pixel_tiles.h"
#include "kernels/core/unroll.h"

namespace drnas::kernels::node_mix_device {

using namespace pixel_tiles;

inline constexpr int threads = 256;
/// Most mixed channels that a block looks at, most rows and columns of its tile.
inline constexpr int max_chunk = 32, max_tile_rows = 8, max_tile_columns = 32;
/// Blocks that keep a large GPU busy.
inline constexpr int enough_blocks = 256;
/// Shared memory for channels that are shuffled; where there are too many, chunks are smaller.
inline constexpr int shuffled_bytes = 30 * 1024, most_shuffled_bytes = 40 * 1024;

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
  DRNAS_UNROLL
  for (int first = 0; first < V; first += piece) {
    const auto packed = load_packed(reinterpret_cast<const Packed<T, piece>*>(from + first));
    DRNAS_UNROLL
    for (int k = 0; k < piece; ++k) values.lane[first + k] = static_cast<float>(packed.lane[k]);
  }
  return values;
}
template <int V, class T>
__device__ void store(T* to, const Floats<V>& values) {
  constexpr int piece = min_of(V, 16 / sizeof(T));
  DRNAS_UNROLL
  for (int first = 0; first < V; first += piece) {
    Packed<T, piece> packed;
    DRNAS_UNROLL
    for (int k = 0; k < piece; ++k) packed.lane[k] = static_cast<T>(values.lane[first + k]);
    store_packed(reinterpret_cast<Packed<T, piece>*>(to + first), packed);
  }
}
template <int V>
__device__ void add(Floats<V>& sum, const Floats<V>& values) {
  DRNAS_UNROLL
  for (int k = 0; k < V; ++k) sum.lane[k] += values.lane[k];
}
/// sum += weight * values.
template <int V>
__device__ void add_weighted(Floats<V>& sum, float weight, const Floats<V>& values) {
  DRNAS_UNROLL
  for (int k = 0; k < V; ++k) sum.lane[k] += weight * values.lane[k];
}
template <int V>
__device__ float dot(const Floats<V>& a, const Floats<V>& b) {
  float sum = 0.0f;
  DRNAS_UNROLL
  for (int k = 0; k < V; ++k) sum += a.lane[k] * b.lane[k];
  return sum;
}

/// Blocks are tiles of images times chunks of mixed channels.
struct Tiling : TileGrid {
  int chunk, chunks;   ///< channels of a block; blocks that share the channels
  std::int64_t tiles;  ///< of all images
  int border;          ///< pixels around a tile that it needs: 1 where an average pool takes part

  DRNAS_HD int halo_pixels() const { return (rows + 2 * border) * (columns + 2 * border); }
  /// Doubles from row to row of sums [terms, chunk]: odd, so that a column uses all banks.
  DRNAS_HD int sum_pitch() const { return chunk | 1; }
};

/// How many chunks of at most max_chunk channels there are.
inline int chunk_count(int c) { return divide_up(c, max_chunk); }

/// Most parts whose planes of shared memory are set apart in the banks, and for which vectors are
/// longer than four.
inline constexpr int few_parts = 16;

/// Floats of so many pixels' vectors of v channels in a plane of shared memory (see ChannelPlanes).
/// Sixteen beside whole rows of banks where planes follow each other.
DRNAS_HD constexpr int plane_floats(int v, int pixels, int groups) {
  const int floats = pixels * groups * min_of(v, 4);
  return v > 4 ? (floats + 31) / 32 * 32 + 16 : floats;
}
/// The same of all planes of a vector. `apart`: so that the next ones begin at other banks.
DRNAS_HD constexpr int planes_floats(int v, int pixels, int groups, bool apart) {
  const int floats = v / min_of(v, 4) * plane_floats(v, pixels, groups);
  return apart ? (floats + 31) / 32 * 32 + 8 : (floats + 3) / 4 * 4;
}

/// Tiles for threads that take v channels at a time and hold held_pixels(v) pixels each. Where
/// `parts` is not zero all parts of the channels are kept in shared memory instead.
template <class T>
Tiling make_tiling(const NodeMixOf<T>& p, int v, bool pools, int parts) {
  if (std::int64_t{p.n} * p.h * p.w > INT32_MAX)
    throw Error("node_mix: " + std::to_string(p.n) + " images of " + std::to_string(p.h) + "x" +
                std::to_string(p.w) + " pixels, expected fewer than 2^31 pixels");
  Tiling t{};
  t.chunk = divide_up(divide_up(p.c, chunk_count(p.c)), v) * v;
  t.chunks = divide_up(p.c, t.chunk);
  t.border = pools ? 1 : 0;
  const int groups = t.chunk / v, most = threads / groups * held_pixels(v);
  int rows = std::min(p.h, max_tile_rows), columns = std::min(p.w, max_tile_columns);
  t.cut(p.h, p.w, rows, columns);
  const auto count = [&] { return std::int64_t{p.n} * t.tile_rows * t.tile_columns; };
  const auto fits = [&](int bytes) {
    const std::int64_t floats =
        std::int64_t{parts} * planes_floats(v, t.pixels(), groups, parts <= few_parts) +
        planes_floats(v, t.halo_pixels(), groups, false);
    return parts == 0 || floats * static_cast<int>(sizeof(float)) <= bytes;
  };
  while ((rows > 1 || columns > 1) &&
         (t.pixels() > most || !fits(shuffled_bytes) ||
          (rows > 1 && count() * t.chunks < enough_blocks && t.pixels() * groups > threads))) {
    (rows > 1 ? rows : columns) /= 2;
    t.cut(p.h, p.w, rows, columns);
  }
  if (!fits(most_shuffled_bytes))
    throw Error("node_mix: a node in " + std::to_string(parts) +
                " parts, more than fit a block's shared memory");
  t.tiles = count();
  return t;
}

/// Whether an average pool takes part.
template <class T>
bool has_pools(const NodeMixOf<T>& p) {
  return std::any_of(p.source, p.source + p.sources,
                     [](const NodeMixSourceOf<T>& source) { return source.pool_theta >= 0; });
}

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

/// Floats of so many pixels' channels in shared memory, in vectors of V. Vectors of eight lie in
/// two planes of four, so that neighbours' accesses of 16 bytes use all banks.
template <int V>
struct ChannelPlanes {
  static constexpr int piece = min_of(V, 4), pieces = V / piece;

  float* base;
  int groups, pitch;  ///< vectors of a pixel; floats from plane to plane

  __device__ ChannelPlanes(float* base_, int pixels, int groups_)
      : base(base_), groups(groups_), pitch(plane_floats(V, pixels, groups_)) {}

  __device__ Floats<V> load(int pixel, int group) const {
    const float* from = base + (pixel * groups + group) * piece;
    Floats<V> values;
    DRNAS_UNROLL
    for (int p = 0; p < pieces; ++p) {
      const Floats<piece> part = node_mix_device::load<piece>(from + p * pitch);
      DRNAS_UNROLL
      for (int k = 0; k < piece; ++k) values.lane[p * piece + k] = part.lane[k];
    }
    return values;
  }
  __device__ void store(int pixel, int group, const Floats<V>& values) const {
    float* to = base + (pixel * groups + group) * piece;
    DRNAS_UNROLL
    for (int p = 0; p < pieces; ++p) {
      Floats<piece> part;
      DRNAS_UNROLL
      for (int k = 0; k < piece; ++k) part.lane[k] = values.lane[p * piece + k];
      node_mix_device::store<piece>(to + p * pitch, part);
    }
  }
  /// The place of one channel; its neighbours up to a multiple of `piece` follow it.
  __device__ float* at(int pixel, int channel) const {
    return base + channel % V / piece * pitch + (pixel * groups + channel / V) * piece +
           channel % piece;
  }
};

/// N neighbours in the order of the shuffle, y[channel K + part]: vector number `vector` of a
/// pixel's. K 0: any number of parts.
template <int N, int K>
struct ShuffledVector {
  /// Every vector holds `run` neighbouring channels of each part.
  static constexpr bool whole = K > 0 && N % (K > 0 ? K : 1) == 0;
  static constexpr int run = whole ? N / (K > 0 ? K : 1) : 1;
  static_assert(K < 2 || run <= 4);

  int channel[N], part[N];

  __device__ ShuffledVector(int vector, int parts) {
    DRNAS_UNROLL
    for (int i = 0; i < N; ++i) {
      channel[i] = (vector * N + i) / (K > 0 ? K : parts);
      part[i] = (vector * N + i) % (K > 0 ? K : parts);
    }
  }
  /// The first part's channels to their places.
  template <int V>
  __device__ void store_first(const ChannelPlanes<V>& to, int pixel, const Floats<N>& from) const {
    if constexpr (whole) {
      constexpr int piece = min_of(run, ChannelPlanes<V>::piece);
      DRNAS_UNROLL
      for (int first = 0; first < run; first += piece) {
        Floats<piece> values;
        DRNAS_UNROLL
        for (int i = 0; i < piece; ++i) values.lane[i] = from.lane[(first + i) * K];
        node_mix_device::store<piece>(to.at(pixel, channel[0] + first), values);
      }
    } else {
      for (int i = 0; i < N; ++i)
        if (part[i] == 0) *to.at(pixel, channel[i]) = from.lane[i];
    }
  }
  /// All parts from their places; part p lies `pitch` floats after part p - 1.
  template <int V>
  __device__ Floats<N> load(const ChannelPlanes<V>& from, int pitch, int pixel) const {
    Floats<N> values;
    if constexpr (whole) {
      const float* place = from.at(pixel, channel[0]);
      DRNAS_UNROLL
      for (int p = 0; p < K; ++p) {
        const Floats<run> of_part = node_mix_device::load<run>(place + p * pitch);
        DRNAS_UNROLL
        for (int i = 0; i < run; ++i) values.lane[i * K + p] = of_part.lane[i];
      }
    } else {
      DRNAS_UNROLL
      for (int i = 0; i < N; ++i) values.lane[i] = from.at(pixel, channel[i])[part[i] * pitch];
    }
    return values;
  }
};

/// Where a node's values of `part` lie, and how far pixels are from each other.
template <class T>
struct PartView {
  T* base;
  int stride;

  __device__ PartView(T* node, std::int64_t pixels, int c, int channels, bool apart, int part)
      : base(node + part * c), stride(channels) {
    if (!apart) return;
    stride = part == 0 ? c : channels - c;
    if (part > 0) base = node + pixels * c + (part - 1) * c;
  }
};
template <class T>
__device__ inline PartView<const T> source_view(const NodeMixOf<T>& p, int s, int part) {
  return {p.source[s].x, std::int64_t{p.n} * p.h * p.w, p.c, p.channels, p.source[s].apart, part};
}

/// Values of T that a thread takes of shuffled channels at a time.
template <class T, int V, int K>
constexpr int shuffled_values = K == 0 ? V : min_of(16 / static_cast<int>(sizeof(T)), V* K);

/// Calls body.template operator()<K>() for numbers of parts that kernels know, else with 0.
template <class Body>
__device__ void dispatch_parts(int parts, const Body& body) {
  if (parts == 2) return body.template operator()<2>();
  if (parts == 4) return body.template operator()<4>();
  if (parts == 8) return body.template operator()<8>();
  body.template operator()<0>();
}

/// Lowest set bit of everything that vectors of T must divide, at most 16 bytes, in elements.
/// `dense` is y or dy; with shuffled channels it is aligned to 16 bytes.
template <class T>
int vector_width(const NodeMixOf<T>& p, const T* dense) {
  const auto address = [](const void* pointer) {
    return reinterpret_cast<std::uintptr_t>(pointer);
  };
  std::uintptr_t bits = 16 | p.c * sizeof(T);
  if (p.parts() == 1) bits |= address(dense);
  for (int t = 0; t < p.terms; ++t) bits |= address(p.term[t].z) | p.term[t].z_stride * sizeof(T);
  for (int s = 0; s < p.sources; ++s) bits |= address(p.source[s].x);
  const int width = static_cast<int>((bits & -bits) / sizeof(T));
  return p.parts() > few_parts ? std::min(width, 4) : width;
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
