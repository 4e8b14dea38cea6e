// SPDX-License-Identifier: MIT
#include "kernels/bundle/node_mix_device.h"

namespace drnas::kernels {
namespace {

using namespace node_mix_device;

/// Shared memory of a block; k channels of the chunk.
struct Memory {
  float* scale;   ///< [terms, k] theta inv_std
  float* offset;  ///< [k] -sum of scale mean
  float* pooled;  ///< [rows + 2, columns + 2, k] sum of theta_pool x; with pools only
  float* mixed;   ///< [pixels, k]; where channels are shuffled only
  float* skip;    ///< [sources] mixing weights, 0 where the op is absent
  float* pool;    ///< [sources]

  template <class T>
  __device__ Memory(const NodeMixOf<T>& p, const Tiling& t, void* memory)
      : scale(static_cast<float*>(memory)),
        offset(scale + p.terms * t.chunk),
        pooled(offset + t.chunk),
        mixed(pooled + t.halo_floats()),
        skip(mixed + mixed_floats(p, t)),
        pool(skip + p.sources) {}

  template <class T>
  DRNAS_HD static int mixed_floats(const NodeMixOf<T>& p, const Tiling& t) {
    return p.parts() > 1 ? t.pixels() * t.chunk : 0;
  }
  template <class T>
  static std::size_t bytes(const NodeMixOf<T>& p, const Tiling& t) {
    return sizeof(float) *
           ((p.terms + 1) * t.chunk + t.halo_floats() + mixed_floats(p, t) + 2 * p.sources);
  }
};

template <class T>
__device__ float weight_of(const NodeMixOf<T>& p, int theta) {
  return theta < 0 ? 0.0f : static_cast<float>(p.theta[theta]);
}

/// Weights of the block's channels and of the sources.
template <class T>
__device__ void load_weights(const NodeMixOf<T>& p, const Share& share, const Memory& memory) {
  for (int i = threadIdx.x; i < p.terms * share.count; i += threads) {
    const NodeMixTermOf<T>& term = p.term[i / share.count];
    memory.scale[i] = weight_of(p, term.theta) * term.inv_std[share.first + i % share.count];
  }
  for (int s = threadIdx.x; s < p.sources; s += threads) {
    memory.skip[s] = weight_of(p, p.source[s].skip_theta);
    memory.pool[s] = weight_of(p, p.source[s].pool_theta);
  }
}

template <class T>
__device__ void sum_offsets(const NodeMixOf<T>& p, const Share& share, const Memory& memory) {
  for (int ch = threadIdx.x; ch < share.count; ch += threads) {
    float offset = 0.0f;
    for (int t = 0; t < p.terms; ++t)
      offset -= memory.scale[t * share.count + ch] * p.term[t].mean[share.first + ch];
    memory.offset[ch] = offset;
  }
}

/// The mixed channels of one pixel, first_channel and on; `at` is where they are in the chunk.
/// Average pools are still missing.
template <int V, class T>
__device__ Floats<V> mix_pixel(const NodeMixOf<T>& p, const Share& share, const Memory& memory,
                               int pixel, int at) {
  const int channel = share.first + at;
  Floats<V> sum = load<V>(memory.offset + at);
  for (int t = 0; t < p.terms; ++t) {
    const NodeMixTermOf<T>& term = p.term[t];
    const Floats<V> scale = load<V>(memory.scale + t * share.count + at),
                    z = load<V>(term.z + offset_of(pixel, term.z_stride) + channel);
    DRNAS_MIX_UNROLL
    for (int k = 0; k < V; ++k) sum.lane[k] += scale.lane[k] * z.lane[k];
  }
  const std::int64_t offset = offset_of(pixel, p.channels) + channel;
  DRNAS_MIX_ROLLED
  for (int s = 0; s < p.sources; ++s)
    if (p.source[s].skip_theta >= 0)
      add_weighted(sum, memory.skip[s], load<V>(p.source[s].x + offset));
  return sum;
}

/// Sum of the 3x3 window whose corner is `corner` in rows of `pitch` floats.
template <int V>
__device__ Floats<V> box_sum(const float* corner, int pitch, int k) {
  Floats<V> sum;
  for (int row = 0; row < 3; ++row)
    for (int column = 0; column < 3; ++column) add(sum, load<V>(corner + row * pitch + column * k));
  return sum;
}

/// y of the tile's pixels and the block's channels from mixed channels in shared memory and the sum
/// of the sources' other channels: y[pos*K + g] for all g.
template <class T>
__device__ void shuffle_tile(const NodeMixOf<T>& p, const Tile& tile, const Share& share,
                             const float* mixed, T* y) {
  const int parts = p.parts(), outputs = share.count * parts, lanes = min_of(outputs, threads),
            slots = threads / lanes, slot = threadIdx.x / lanes;
  if (slot >= slots) return;
  for (int out = threadIdx.x % lanes; out < outputs; out += lanes) {
    const int at = out / parts, part = out % parts;
    const int from = part * p.c + share.first + at;
    PixelWalk walk(slot, slots, tile.columns);
    for (int i = slot; i < tile.pixels(); i += slots, walk.advance()) {
      const int pixel = tile.first_pixel + (tile.row + walk.row) * p.w + tile.column + walk.column;
      const std::int64_t first = offset_of(pixel, p.channels);
      float value = 0.0f;
      if (part == 0)
        value = mixed[i * share.count + at];
      else
        for (int s = 0; s < p.sources; ++s)
          value += static_cast<float>(p.source[s].x[first + from]);
      y[first + share.first * parts + out] = static_cast<T>(value);
    }
  }
}

template <int V, class T>
__device__ void mix_tile(const NodeMixOf<T>& p, const Tiling& tiling, const Tile& tile,
                         const Share& share, const Memory& memory, T* y) {
  if (share.idle()) return;
  const int at = share.group * V, pitch = (tile.columns + 2) * share.count;
  const bool shuffled = p.parts() > 1;
  PixelWalk walk(share.slot, share.slots, tile.columns);
  for (int i = share.slot; i < tile.pixels(); i += share.slots, walk.advance()) {
    const int row = tile.row + walk.row, column = tile.column + walk.column,
              pixel = tile.first_pixel + row * p.w + column;
    Floats<V> sum = mix_pixel<V>(p, share, memory, pixel, at);
    if (tiling.pools)
      add_weighted(sum, window_share(row, p.h) * window_share(column, p.w),
                   box_sum<V>(memory.pooled + walk.row * pitch + walk.column * share.count + at,
                              pitch, share.count));
    if (shuffled)
      store<V>(memory.mixed + i * share.count + at, sum);
    else
      store<V>(y + offset_of(pixel, p.channels) + share.first + at, sum);
  }
}

/// A block makes one tile of y, for one chunk of the mixed channels.
template <int V, class T>
__global__ __launch_bounds__(threads, 3) void forward_kernel(NodeMixOf<T> p, T* y, Tiling tiling) {
  const Memory memory(p, tiling, shared_memory());
  const Tile tile(p, tiling, blockIdx.x);
  const Share share(p.c, tiling.chunk, V);
  load_weights(p, share, memory);
  __syncthreads();
  sum_offsets(p, share, memory);
  if (tiling.pools)
    fill_halo<V>(p.h, p.w, tile, share, memory.pooled, [&](int pixel) {
      const std::int64_t offset = offset_of(pixel, p.channels) + share.first + share.group * V;
      Floats<V> sum;
      for (int s = 0; s < p.sources; ++s)
        if (p.source[s].pool_theta >= 0)
          add_weighted(sum, memory.pool[s], load<V>(p.source[s].x + offset));
      return sum;
    });
  __syncthreads();
  mix_tile<V>(p, tiling, tile, share, memory, y);
  if (p.parts() == 1) return;
  __syncthreads();
  shuffle_tile(p, tile, share, memory.mixed, y);
}

template <class T>
void forward(const NodeMixOf<T>& p, T* y, Stream stream) {
  const int width = vector_width(p, y);
  const Tiling tiling = make_tiling(p, width);
  const LaunchShape shape{tiling.tiles, threads, Memory::bytes(p, tiling),
                          static_cast<unsigned>(tiling.chunks)};
  dispatch_width<T>(width, [&]<int V>() {
    launch("node_mix_forward", forward_kernel<V, T>, shape, stream, p, y, tiling);
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
