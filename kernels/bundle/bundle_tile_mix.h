// SPDX-License-Identifier: MIT
// A node from everything that enters it, tile by tile, by the blocks that convolve it next
// (bundle_tile_forward.cu), for .cu files: the mix of node_mix.h without shuffled channels, also of
// the pixels around a tile, whose blocks mix them too.
#pragma once

#include "kernels/bundle/bundle_tile_memory.h"
#include "kernels/bundle/node_mix.h"
#include "kernels/core/tile_operands.h"

namespace drnas::kernels {
namespace {

/// The mix that makes a bundle's node.
template <class T>
struct TileMix {
  NodeMixOf<T> mix;
  T* y = nullptr;          ///< null: the node is there
  TilePlanes around = {};  ///< what the convolutions read of a tile, and a pixel more

  TileMix() = default;
  TileMix(const NodeMixOf<T>& of, T* y_, const TilePlanes& read)
      : mix(of), y(y_), around(read.grid, 1, read.extent + 2, read.planes) {}
  DRNAS_HD bool pools() const {
    bool any = false;
    for (int s = 0; s < mix.sources; ++s) any = any || mix.source[s].pool_theta >= 0;
    return any;
  }
};

/// A block's shared memory for it, in the place of the bundle's filters, which come later. Chunks
/// of channels lie in planes of four floats, the first four of all chunks before the others, so
/// that what neighbouring threads access lies in different banks.
struct MixMemory {
  float* scale;   ///< [terms, c] theta inv_std
  float* offset;  ///< [c] -sum of scale mean
  float* skip;    ///< [sources], 0 where there is none
  float* pool;    ///< [sources]
  float* pooled;  ///< [fours of a chunk, planes, plane_pitch, 4]; with pools only
  std::size_t bytes;

  /// With a null base it only counts.
  template <class T>
  DRNAS_HD MixMemory(const TileMix<T>& k, void* base)
      : chunk_(16 / sizeof(T)), planes_(k.around.planes), plane_pitch_(k.around.plane_pitch) {
    const NodeMixOf<T>& p = k.mix;
    SharedCarver carve{static_cast<unsigned char*>(base)};
    scale = carve.take<float>(p.terms * p.c);
    offset = carve.take<float>(p.c);
    pooled = carve.take<float>(k.pools() ? k.around.count() * chunk_ : 0);
    skip = carve.take<float>(p.sources);
    pool = carve.take<float>(p.sources);
    bytes = carve.bytes;
  }
  /// Where a channel is in c of them; its neighbours up to a multiple of four follow it.
  __device__ int place(int channel) const {
    return (channel % chunk_ / 4 * planes_ + channel / chunk_) * 4 + channel % 4;
  }
  /// Four channels of a pixel that pools read.
  __device__ float* pooled_at(int pixel, int channel) const {
    return pooled + (place(channel) / 4 * plane_pitch_ + pixel) * 4;
  }

 private:
  int chunk_, planes_, plane_pitch_;
};

template <class T>
__device__ void load_mixing_weights(const NodeMixOf<T>& p, const MixMemory& memory) {
  const auto weight = [&](int theta) {
    return theta < 0 ? 0.0f : static_cast<float>(p.theta[theta]);
  };
  const auto scale = [&](int t, int channel) {
    return weight(p.term[t].theta) * p.term[t].inv_std[channel];
  };
  const int thread = static_cast<int>(threadIdx.x);
  for (int channel = thread; channel < p.c; channel += tile_threads) {
    float offset = 0.0f;
    for (int t = 0; t < p.terms; ++t) {
      if (!p.gates.runs(p.theta, p.term[t].theta)) continue;
      memory.scale[t * p.c + memory.place(channel)] = scale(t, channel);
      offset -= scale(t, channel) * p.term[t].mean[channel];
    }
    memory.offset[memory.place(channel)] = offset;
  }
  if (thread >= p.sources) return;
  memory.skip[thread] = weight(p.source[thread].skip_theta);
  memory.pool[thread] = weight(p.source[thread].pool_theta);
}

/// sum += the sources under weights of `of`, at an element; those that do not run are not read.
template <int E, class T>
__device__ inline void add_sources(const NodeMixOf<T>& p, int NodeMixSourceOf<T>::*theta,
                                   const float* weights, std::int64_t where, float (&sum)[E]) {
  for (int s = 0; s < p.sources; ++s) {
    if (p.source[s].*theta < 0 || (p.gates.rows > 0 && weights[s] == 0.0f)) continue;
    float x[E];
    load_vector(p.source[s].x + where, x);
    for (int i = 0; i < E; ++i) sum[i] += weights[s] * x[i];
  }
}

/// sum_s pool_s x_s of a tile, what its convolutions read around it, and a pixel more.
template <class T>
__device__ void load_pooled(const TileMix<T>& k, const pixel_tiles::Tile& tile,
                            const MixMemory& memory) {
  constexpr int E = 16 / sizeof(T);
  const NodeMixOf<T>& p = k.mix;
  const int reach = k.around.halo();
  pixel_tiles::each_vector<tile_threads>(
      k.around.planes, k.around.rows_of(tile.rows), k.around.row_pitch, [&](int plane) {
        return [&, channel = plane * E](int place, int row, int column) {
          float sum[E] = {};
          const int i = tile.row + row - reach, j = tile.column + column - reach;
          if (i >= 0 && i < p.h && j >= 0 && j < p.w)
            add_sources(
                p, &NodeMixSourceOf<T>::pool_theta, memory.pool,
                pixel_tiles::offset_of(tile.first_pixel + i * p.w + j, p.channels) + channel, sum);
          DRNAS_UNROLL
          for (int c = 0; c < E; c += 4)
            store_channels(memory.pooled_at(place, channel + c),
                           Channels<4>{{sum[c], sum[c + 1], sum[c + 2], sum[c + 3]}});
        };
      });
}

/// Where a block mixes a chunk of channels: a pixel (i, j) of the image, which is at (row, column)
/// of what the convolutions read.
struct MixedPlace {
  int pixel, i, j, row, column, channel;
};

/// The mix at a place.
template <int E, class T>
__device__ void mix_chunk(const TileMix<T>& k, const MixMemory& memory, bool pools,
                          const MixedPlace& at, float (&sum)[E]) {
  const NodeMixOf<T>& p = k.mix;
  const auto fours = [&](const float* from, int c) {
    return load_channels<4>(from + memory.place(at.channel + c));
  };
  const auto add_fours = [&](int c, const Channels<4>& values) {
    for (int v = 0; v < 4; ++v) sum[c + v] += values.v[v];
  };
  for (int c = 0; c < E; c += 4) add_fours(c, fours(memory.offset, c));
  for (int t = 0; t < p.terms; ++t) {
    const NodeMixTermOf<T>& term = p.term[t];
    if (!p.gates.runs(p.theta, term.theta)) continue;
    float z[E];
    load_vector(term.z + pixel_tiles::offset_of(at.pixel, term.z_stride) + at.channel, z);
    DRNAS_UNROLL
    for (int c = 0; c < E; c += 4) {
      const auto scale = fours(memory.scale + t * p.c, c);
      for (int v = 0; v < 4; ++v) sum[c + v] += scale.v[v] * z[c + v];
    }
  }
  add_sources(p, &NodeMixSourceOf<T>::skip_theta, memory.skip,
              pixel_tiles::offset_of(at.pixel, p.channels) + at.channel, sum);
  if (!pools) return;
  const float share = pixel_tiles::window_share(at.i, p.h) * pixel_tiles::window_share(at.j, p.w);
  DRNAS_UNROLL
  for (int c = 0; c < E; c += 4) {
    Channels<4> box = {};
    for (int down = 0; down < 3; ++down)
      for (int across = 0; across < 3; ++across)
        box += load_channels<4>(
            memory.pooled_at(k.around.start(at.row + down, at.column + across), at.channel + c));
    for (int v = 0; v < 4; ++v) box.v[v] *= share;
    add_fours(c, box);
  }
}

/// Mixes a tile and what its convolutions read around it: u = max(0, y) to the planes, y of the
/// tile itself to memory where `stores`. Every thread of the block calls it; the memory is free
/// after the next barrier.
template <class Numbers, class T>
__device__ void load_mixed_tile(const TileMix<T>& k, const TilePlanes& planes,
                                const pixel_tiles::Tile& tile, bool stores, const MixMemory& memory,
                                Chunk<typename Numbers::Stored>* u) {
  constexpr int E = chunk_channels<Numbers>;
  const NodeMixOf<T>& p = k.mix;
  load_mixing_weights(p, memory);
  __syncthreads();
  bool pools = false;
  for (int s = 0; s < p.sources; ++s)
    pools = pools || (p.source[s].pool_theta >= 0 && (p.gates.rows == 0 || memory.pool[s] != 0.0f));
  if (pools) {
    load_pooled(k, tile, memory);
    __syncthreads();
  }
  const int halo = planes.halo();
  pixel_tiles::each_vector<tile_threads>(
      planes.planes, planes.rows_of(tile.rows), planes.row_pitch, [&](int plane) {
        return [&, channel = plane * E, to = u + plane * planes.plane_pitch](int place, int row,
                                                                             int column) {
          const int down = row - halo, across = column - halo, i = tile.row + down,
                    j = tile.column + across, pixel = tile.first_pixel + i * p.w + j;
          float v[E] = {};
          if (i >= 0 && i < p.h && j >= 0 && j < p.w) {
            mix_chunk(k, memory, pools, {pixel, i, j, row, column, channel}, v);
            if (stores && tile.has(down, across))
              store_vector(k.y + pixel_tiles::offset_of(pixel, p.channels) + channel, v);
            for (float& value : v) {
              value = static_cast<float>(static_cast<T>(value));
              value = value > 0.0f ? value : 0.0f;
            }
          }
          store_operand<Numbers>(to + place, v);
        };
      });
}

}  // namespace
}  // namespace drnas::kernels
