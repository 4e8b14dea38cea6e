// SPDX-License-Identifier: MIT
#include "kernels/bundle/node_mix_device.h"

namespace drnas::kernels {
namespace {

using namespace node_mix_device;

/// Shared memory of a block; k channels of the chunk.
struct Memory {
  float* scale;   ///< [terms, k] theta inv_std
  float* offset;  ///< [k] -sum of scale mean
  float* skip;    ///< [sources] mixing weights, 0 where the op is absent
  float* pool;    ///< [sources]
  float* pooled;  ///< planes of the tile with its border: sum of theta_pool x; with pools only
  float* sums;    ///< planes of the tile for each part, where channels are shuffled
  int part;       ///< floats from part to part

  template <class T>
  DRNAS_HD static int weight_floats(const NodeMixOf<T>& p, const Tiling& t) {
    return ((p.terms + 1) * t.chunk + 2 * p.sources + 3) / 4 * 4;
  }
  DRNAS_HD static int pooled_floats(const Tiling& t, int v) {
    return t.border ? planes_floats(v, t.halo_pixels(), t.chunk / v, false) : 0;
  }
  template <class T>
  DRNAS_HD static int part_floats(const NodeMixOf<T>& p, const Tiling& t, int v) {
    return planes_floats(v, t.pixels(), t.chunk / v, p.parts() <= few_parts);
  }
  template <class T>
  __device__ Memory(const NodeMixOf<T>& p, const Tiling& t, int v, void* memory)
      : scale(static_cast<float*>(memory)),
        offset(scale + p.terms * t.chunk),
        skip(offset + t.chunk),
        pool(skip + p.sources),
        pooled(scale + weight_floats(p, t)),
        sums(pooled + pooled_floats(t, v)),
        part(part_floats(p, t, v)) {}
  template <class T>
  static std::size_t bytes(const NodeMixOf<T>& p, const Tiling& t, int v) {
    const int parts = p.parts() > 1 ? p.parts() * part_floats(p, t, v) : 0;
    return sizeof(float) *
           static_cast<std::size_t>(weight_floats(p, t) + pooled_floats(t, v) + parts);
  }
};

template <class T>
__device__ float weight_of(const NodeMixOf<T>& p, int theta) {
  return theta < 0 ? 0.0f : static_cast<float>(p.theta[theta]);
}

template <class T>
__device__ float scale_of(const NodeMixOf<T>& p, const NodeMixTermOf<T>& term, int channel) {
  return term.inv_std ? weight_of(p, term.theta) * term.inv_std[channel] : 1.0f;
}

/// Weights of the block's channels and of the sources.
template <class T>
__device__ void load_weights(const NodeMixOf<T>& p, const Share& share, const Memory& memory) {
  for (int i = threadIdx.x; i < p.terms * share.count; i += threads) {
    const NodeMixTermOf<T>& term = p.term[i / share.count];
    memory.scale[i] = scale_of(p, term, share.first + i % share.count);
  }
  for (int ch = threadIdx.x; ch < share.count; ch += threads) {
    float offset = 0.0f;
    for (int t = 0; t < p.terms; ++t)
      offset -= scale_of(p, p.term[t], share.first + ch) * p.term[t].mean[share.first + ch];
    memory.offset[ch] = offset;
  }
  for (int s = threadIdx.x; s < p.sources; s += threads) {
    memory.skip[s] = weight_of(p, p.source[s].skip_theta);
    memory.pool[s] = weight_of(p, p.source[s].pool_theta);
  }
}

/// Does an identity or a pool with this weight run? Without gates whatever its weight.
template <class T>
__device__ bool runs(const NodeMixOf<T>& p, const float* weight) {
  return p.gates.rows == 0 || *weight != 0.0f;
}

/// The same of a term, by what its channels are multiplied by.
template <int V, class T>
__device__ bool runs(const NodeMixOf<T>& p, const Floats<V>& scale) {
  bool any = p.gates.rows == 0;
  DRNAS_UNROLL
  for (int k = 0; k < V; ++k) any = any || scale.lane[k] != 0.0f;
  return any;
}

/// Does any pool run?
template <class T>
__device__ bool pools_run(const NodeMixOf<T>& p, const Memory& memory) {
  bool any = p.gates.rows == 0;
  for (int s = 0; s < p.sources && !any; ++s) any = memory.pool[s] != 0.0f;
  return any;
}

/// Adds all terms that run to sums of N pixels' mixed channels; negative: no pixel. `at` is where
/// they are in the chunk.
template <int N, int V, class T>
__device__ void add_terms(const NodeMixOf<T>& p, const Share& share, const Memory& memory, int at,
                          const int (&pixel)[N], Floats<V> (&sum)[N]) {
  for (int t = 0; t < p.terms; ++t) {
    const NodeMixTermOf<T>& term = p.term[t];
    const Floats<V> scale = load<V>(memory.scale + t * share.count + at);
    if (!runs(p, scale)) continue;
    const T* z = term.z + share.first + at;
    DRNAS_UNROLL
    for (int q = 0; q < N; ++q) {
      if (pixel[q] < 0) continue;
      const Floats<V> values = load<V>(z + offset_of(pixel[q], term.z_stride));
      DRNAS_UNROLL
      for (int k = 0; k < V; ++k) sum[q].lane[k] += scale.lane[k] * values.lane[k];
    }
  }
}

/// Sum of the 3x3 window whose corner is `corner` in rows of `pitch` pixels.
template <int V>
__device__ Floats<V> box_sum(const ChannelPlanes<V>& pooled, int corner, int pitch, int group) {
  Floats<V> sum;
  for (int row = 0; row < 3; ++row)
    for (int column = 0; column < 3; ++column)
      add(sum, pooled.load(corner + row * pitch + column, group));
  return sum;
}

/// The sources' sum under an average pool, for the pixels around a tile.
template <int V, class T>
__device__ void pool_border(const NodeMixOf<T>& p, const Tile& tile, const Share& share,
                            const Memory& memory, const ChannelPlanes<V>& pooled) {
  const int width = tile.columns + 2, pixels = (tile.rows + 2) * width;
  PixelWalk walk(share.slot, share.slots, width);
  for (int i = share.slot; i < pixels; i += share.slots, walk.advance()) {
    if (walk.row > 0 && walk.row <= tile.rows && walk.column > 0 && walk.column <= tile.columns)
      continue;
    const int row = tile.row + walk.row - 1, column = tile.column + walk.column - 1;
    Floats<V> sum;
    if (row >= 0 && row < p.h && column >= 0 && column < p.w) {
      const std::int64_t offset = offset_of(tile.first_pixel + row * p.w + column, p.channels) +
                                  share.first + share.group * V;
      for (int s = 0; s < p.sources; ++s)
        if (p.source[s].pool_theta >= 0 && runs(p, memory.pool + s))
          add_weighted(sum, memory.pool[s], load<V>(p.source[s].x + offset));
    }
    pooled.store(i, share.group, sum);
  }
}

/// A thread's pixels of a tile: what identities add to `sum`; their sums under an average pool.
template <int N, int V, class T>
__device__ void add_sources(const NodeMixOf<T>& p, const Share& share, const Memory& memory,
                            const int (&pixel)[N], Floats<V> (&sum)[N], Floats<V> (&pooled)[N]) {
  DRNAS_ROLLED
  for (int s = 0; s < p.sources; ++s) {
    const bool skips = p.source[s].skip_theta >= 0 && runs(p, memory.skip + s),
               pools = p.source[s].pool_theta >= 0 && runs(p, memory.pool + s);
    const T* from = p.source[s].x + share.first + share.group * V;
    DRNAS_UNROLL
    for (int q = 0; q < N; ++q) {
      if (pixel[q] < 0 || !(skips || pools)) continue;
      const Floats<V> x = load<V>(from + offset_of(pixel[q], p.channels));
      if (skips) add_weighted(sum[q], memory.skip[s], x);
      if (pools) add_weighted(pooled[q], memory.pool[s], x);
    }
  }
}

/// A block makes one tile of y, for one chunk of the channels, none of which are shuffled.
template <int V, class T>
__global__ __launch_bounds__(threads,
                             V >= 4 && sizeof(T) == 2 ? 3 : 2) void forward_kernel(NodeMixOf<T> p,
                                                                                   T* y,
                                                                                   Tiling tiling) {
  constexpr int held = held_pixels(V);
  const Memory memory(p, tiling, V, shared_memory());
  const Tile tile(tiling, p.h, p.w, blockIdx.x);
  const Share share(p.c, tiling.chunk, V);
  const ChannelPlanes<V> halo(memory.pooled, tiling.halo_pixels(), share.groups);
  load_weights(p, share, memory);
  __syncthreads();
  int pixel[held];
  Floats<V> sum[held], pooled[held];
  PixelWalk walk(share.slot, share.slots, tile.columns);
  DRNAS_UNROLL
  for (int q = 0; q < held; ++q, walk.advance()) {
    const bool inside = !share.idle() && share.slot + q * share.slots < tile.pixels();
    pixel[q] =
        inside ? tile.first_pixel + (tile.row + walk.row) * p.w + tile.column + walk.column : -1;
    if (inside) sum[q] = load<V>(memory.offset + share.group * V);
  }
  add_terms(p, share, memory, share.group * V, pixel, sum);
  add_sources(p, share, memory, pixel, sum, pooled);
  const int pitch = tile.columns + 2;
  const bool pools = tiling.border && pools_run(p, memory);
  if (pools) {
    walk = PixelWalk(share.slot, share.slots, tile.columns);
    DRNAS_UNROLL
    for (int q = 0; q < held; ++q, walk.advance())
      if (pixel[q] >= 0)
        halo.store((walk.row + 1) * pitch + walk.column + 1, share.group, pooled[q]);
    if (!share.idle()) pool_border(p, tile, share, memory, halo);
    __syncthreads();
  }
  walk = PixelWalk(share.slot, share.slots, tile.columns);
  DRNAS_UNROLL
  for (int q = 0; q < held; ++q, walk.advance()) {
    if (pixel[q] < 0) continue;
    if (pools)
      add_weighted(
          sum[q],
          window_share(tile.row + walk.row, p.h) * window_share(tile.column + walk.column, p.w),
          box_sum(halo, walk.row * pitch + walk.column, pitch, share.group));
    store<V>(y + offset_of(pixel[q], p.channels) + share.first + share.group * V, sum[q]);
  }
}

template <class T>
__device__ float bypass_of(const NodeMixOf<T>& p, int s) {
  return p.source[s].bypass_theta < 0 ? 1.0f : weight_of(p, p.source[s].bypass_theta);
}

/// What the sources leave of V neighbours of a pixel: of the mixed channels the identities' sum and
/// that under an average pool, of the others the bypass.
template <int V, class T>
struct SourceReader {
  const NodeMixOf<T>& p;
  const Tiling& tiling;
  const Tile& tile;
  const Memory& memory;
  const ChannelPlanes<V> sums, pooled;  ///< of this part
  int part, channel, group;             ///< of x, of the part, of the chunk

  /// (row, column) counts from the border's first pixel.
  __device__ void operator()(int i, int row, int column) const {
    const bool mixed = part == 0;
    row -= tiling.border;
    column -= tiling.border;
    const int y = tile.row + row, x = tile.column + column;
    const bool inside = y >= 0 && y < p.h && x >= 0 && x < p.w;
    const bool own = row >= 0 && row < tile.rows && column >= 0 && column < tile.columns;
    if (!own && !mixed) return;
    Floats<V> sum, pool;
    const int pixel = tile.first_pixel + y * p.w + x;
    for (int s = 0; s < p.sources && inside; ++s) {
      const bool adds =
                     own && (!mixed || (p.source[s].skip_theta >= 0 && runs(p, memory.skip + s))),
                 pools = mixed && p.source[s].pool_theta >= 0 && runs(p, memory.pool + s);
      if (!adds && !pools) continue;
      const PartView<const T> from = source_view(p, s, part);
      const Floats<V> values = load<V>(from.base + offset_of(pixel, from.stride) + channel);
      if (adds) add_weighted(sum, mixed ? memory.skip[s] : bypass_of(p, s), values);
      if (pools) add_weighted(pool, memory.pool[s], values);
    }
    if (own) sums.store(row * tile.columns + column, group, sum);
    if (mixed && tiling.border) pooled.store(i, group, pool);
  }
};

/// Adds terms and average pools to the mixed channels.
template <int V, class T>
__device__ void mix_tile(const NodeMixOf<T>& p, const Tiling& tiling, const Tile& tile,
                         const Share& share, const Memory& memory, const ChannelPlanes<V>& sums,
                         const ChannelPlanes<V>& pooled) {
  if (share.idle()) return;
  const int at = share.group * V, pitch = tile.columns + 2;
  PixelWalk walk(share.slot, share.slots, tile.columns);
  for (int i = share.slot; i < tile.pixels(); i += share.slots, walk.advance()) {
    const int row = tile.row + walk.row, column = tile.column + walk.column;
    const int pixel[1] = {tile.first_pixel + row * p.w + column};
    Floats<V> sum[1] = {load<V>(memory.offset + at)};
    add_terms(p, share, memory, at, pixel, sum);
    add(sum[0], sums.load(i, share.group));
    if (tiling.border)
      add_weighted(sum[0], window_share(row, p.h) * window_share(column, p.w),
                   box_sum(pooled, walk.row * pitch + walk.column, pitch, share.group));
    sums.store(i, share.group, sum[0]);
  }
}

/// y of the tile's pixels and the block's channels from all parts in shared memory:
/// y[channel K + part].
template <int V, int K, bool apart, class T>
__device__ void shuffle_tile(const NodeMixOf<T>& p, const Tile& tile, const Share& share,
                             const Memory& memory, const ChannelPlanes<V>& sums, T* y) {
  // Where y lies apart, no vector may cross the mixed channels' end.
  constexpr int width = min_of(shuffled_values<T, V, K>, apart ? V : 8);
  const int parts = K > 0 ? K : p.parts();
  each_vector<threads>(share.count * parts / width, tile.rows, tile.columns, [&](int vector) {
    const int channel = share.first * parts + vector * width, part = channel < p.c ? 0 : 1;
    const PartView<T> view(y, std::int64_t{p.n} * p.h * p.w, p.c, p.channels, apart, part);
    return [&, places = ShuffledVector<width, K>(vector, parts), view,
            to = view.base + channel - part * p.c](int i, int row, int column) {
      const int pixel = tile.first_pixel + (tile.row + row) * p.w + tile.column + column;
      store<width>(to + offset_of(pixel, view.stride), places.load(sums, memory.part, i));
    };
  });
}

/// The same where channels are shuffled. Sources are read by vectors of neighbours, mixed and
/// bypassed ones in one pass, and y is written by vectors.
template <int V, class T>
__global__ __launch_bounds__(threads, 3) void forward_shuffled_kernel(NodeMixOf<T> p, T* y,
                                                                      Tiling tiling) {
  const Memory memory(p, tiling, V, shared_memory());
  const Tile tile(tiling, p.h, p.w, blockIdx.x);
  const Share share(p.c, tiling.chunk, V);
  const ChannelPlanes<V> pooled(memory.pooled, tiling.halo_pixels(), share.groups),
      sums(memory.sums, tiling.pixels(), share.groups);
  load_weights(p, share, memory);
  __syncthreads();
  each_vector<threads>(
      p.parts() * share.groups, tile.rows + 2 * tiling.border, tile.columns + 2 * tiling.border,
      [&](int vector) {
        const int part = vector / share.groups, group = vector - part * share.groups;
        const ChannelPlanes<V> of_part(memory.sums + part * memory.part, tiling.pixels(),
                                       share.groups);
        return SourceReader<V, T>{
            p, tiling, tile, memory, of_part, pooled, part, share.first + group * V, group};
      });
  __syncthreads();
  mix_tile(p, tiling, tile, share, memory, sums, pooled);
  __syncthreads();
  dispatch_parts(p.parts(), [&]<int K>() {
    if (p.y_apart)
      shuffle_tile<V, K, true>(p, tile, share, memory, sums, y);
    else
      shuffle_tile<V, K, false>(p, tile, share, memory, sums, y);
  });
}

template <class T>
void forward(const NodeMixOf<T>& p, T* y, Stream stream) {
  const int width = vector_width(p, y), parts = p.parts();
  const Tiling tiling = make_tiling(p, width, has_pools(p), parts > 1 ? parts : 0);
  const LaunchShape shape{tiling.tiles, threads, Memory::bytes(p, tiling, width),
                          static_cast<unsigned>(tiling.chunks)};
  dispatch_width<T>(width, [&]<int V>() {
    launch("node_mix_forward", parts > 1 ? forward_shuffled_kernel<V, T> : forward_kernel<V, T>,
           shape, stream, p, y, tiling);
  });
}

}  // namespace

template <>
std::size_t node_mix_workspace<Device::cuda>(const NodeMix&) {
  return 0;
}
template <>
void node_mix_forward<Device::cuda>(const NodeMix& p, float* y, void*, Stream stream) {
  forward(p, y, stream);
}
template <>
std::size_t node_mix_workspace<Device::cuda>(const NodeMixOf<bfloat16>&) {
  return 0;
}
template <>
void node_mix_forward<Device::cuda>(const NodeMixOf<bfloat16>& p, bfloat16* y, void*,
                                    Stream stream) {
  forward(p, y, stream);
}

}  // namespace drnas::kernels
