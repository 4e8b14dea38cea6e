// SPDX-License-Identifier: MIT
// First kernel of conv_bundle_backward on CUDA where channels are shuffled (K > 1). A gradient dy
// has a mixed channel in every K-th place and bypassed ones between; z, dz and dx have theirs
// together. So a block reads all channels of its pixels of every dy once, by whole vectors, sorts
// them in shared memory, and writes whole vectors.
#pragma once

#include "kernels/bundle/conv_bundle_gradient.h"

namespace drnas::kernels {
namespace {

/// Blocks are tiles of images times chunks of mixed channels. Planes of shared memory hold a chunk
/// of all pixels of a tile: dy of an edge, or one part of dx.
struct ShuffledTiling {
  static constexpr int most_chunk = 32, most_rows = 8, most_columns = 32, enough_blocks = 256;
  static constexpr std::size_t wanted_bytes = 30 * 1024, most_bytes = common_shared_bytes;

  pixel_tiles::TileGrid grid{};
  int chunk = 0, chunks = 0;
  int edges = 0;  ///< whose dy is kept
  int parts = 0;  ///< of dx; none where it is not wanted
  bool pools = false;
  int plane[ConvBundle::max_edges] = {};                        ///< of an edge
  int edge[ConvBundle::max_sizes][ConvBundle::max_edges] = {};  ///< of the slots of a size

  template <class T>
  ShuffledTiling(const Differentiation<T>& k, int v)
      : parts(k.p.dx ? k.p.bundle.parts() : 0), pools(k.pool.count > 0) {
    const ConvBundle& b = k.p.bundle;
    for (int e = 0; e < b.edges; ++e) {
      if (k.convolves(e)) plane[e] = edges++;
      for (int s = 0; s < b.sizes; ++s)
        if (b.has(s, e)) edge[s][b.slot(s, e)] = e;
    }
    using pixel_tiles::divide_up;
    chunk = divide_up(divide_up(b.c, divide_up(b.c, most_chunk)), v) * v;
    chunks = divide_up(b.c, chunk);
    int rows = std::min(b.h, most_rows), columns = std::min(b.w, most_columns);
    grid.cut(b.h, b.w, rows, columns);
    const auto few = [&] {
      return std::int64_t{b.n} * grid.tile_rows * grid.tile_columns * chunks < enough_blocks;
    };
    while ((rows > 1 || columns > 1) && (bytes(sizeof(T)) > wanted_bytes || (rows > 4 && few()))) {
      (rows > 2 || columns == 1 ? rows : columns) /= 2;
      grid.cut(b.h, b.w, rows, columns);
    }
    if (bytes(sizeof(T)) > most_bytes)
      throw Error("conv_bundle: a node in " + std::to_string(b.parts()) +
                  " parts, more than fit a block's shared memory");
  }
  std::int64_t blocks(const ConvBundle& b) const {
    return std::int64_t{b.n} * grid.tile_rows * grid.tile_columns * chunks;
  }
  /// Values of `size` bytes from plane to plane: not a multiple of 128 bytes, so that neighbours
  /// which read different planes use different banks.
  DRNAS_HD int pitch(int size) const {
    const int bytes = grid.pixels() * chunk * size;
    return (parts > 16 ? (bytes + 15) / 16 * 16 : (bytes + 127) / 128 * 128 + 32) / size;
  }
  /// Floats of the mixed channels with one pixel around the tile; none where there are no pools.
  DRNAS_HD int halo_floats() const {
    return pools ? ((grid.rows + 2) * (grid.columns + 2) * chunk + 3) / 4 * 4 : 0;
  }
  std::size_t bytes(int size) const {
    return sizeof(EdgeWeights) +
           sizeof(float) * (static_cast<std::size_t>(parts) * pitch(sizeof(float)) +
                            static_cast<std::size_t>(halo_floats())) +
           static_cast<std::size_t>(size) * static_cast<std::size_t>(edges * pitch(size));
  }
};

/// A block's shared memory; its planes are [pixels of the tile, count].
template <class T>
struct ShuffledMemory {
  EdgeWeights& weights;
  float* sums;    ///< planes of the parts of dx: first the mixed channels, then the bypassed ones
  float* pooled;  ///< [rows + 2, columns + 2, count]: sum of pool_e dy_e over each one's window
  T* dy;          ///< planes of the edges
  int sum_pitch, dy_pitch;

  __device__ ShuffledMemory(const ShuffledTiling& t, void* memory)
      : weights(*static_cast<EdgeWeights*>(memory)),
        sums(reinterpret_cast<float*>(&weights + 1)),
        pooled(sums + t.parts * t.pitch(sizeof(float))),
        dy(reinterpret_cast<T*>(pooled + t.halo_floats())),
        sum_pitch(t.pitch(sizeof(float))),
        dy_pitch(t.pitch(sizeof(T))) {}
};

/// Where a block works.
struct ShuffledPlace {
  pixel_tiles::Tile tile;
  int first, count;  ///< mixed channels

  __device__ ShuffledPlace(const ConvBundle& b, const ShuffledTiling& t)
      : tile(t.grid, b.h, b.w, static_cast<int>(blockIdx.x) / t.chunks),
        first(static_cast<int>(blockIdx.x) % t.chunks * t.chunk),
        count(pixel_tiles::min_of(t.chunk, b.c - first)) {}
  __device__ int pixel(const ConvBundle& b, int row, int column) const {
    return tile.first_pixel + (tile.row + row) * b.w + tile.column + column;
  }
};

/// Values of T that a thread reads of dy at a time, for vectors of V channels and K parts; K 0: any
/// number of parts.
template <class T, int V, int K>
constexpr int shuffled_width = K == 0 ? V : pixel_tiles::min_of(widest<T>, V* K);

/// The places of N neighbours in the shuffle: channel at[i] of part part[i].
template <int N, int K>
struct ShuffledPlaces {
  /// Every vector holds the same parts, `mixed` channels of each.
  static constexpr bool whole = K > 0 && N % K == 0;
  static constexpr int mixed = whole ? N / (K > 0 ? K : 1) : N;

  int at[N], part[N];

  __device__ ShuffledPlaces(int vector, int parts) {
    for (int i = 0; i < N; ++i) {
      at[i] = (vector * N + i) / parts;
      part[i] = (vector * N + i) % parts;
    }
  }
  /// Writes the values of part `of` to its plane `to`, which begins at the pixel.
  template <class T>
  __device__ void store(T* to, const Channels<N>& from, int of) const {
    if constexpr (whole) {
      Channels<mixed> values;
      for (int i = 0; i < mixed; ++i) values.v[i] = from.v[i * K + of];
      store_channels(to + at[0], values);
    } else {
      for (int i = 0; i < N; ++i)
        if (part[i] == of) to[at[i]] = static_cast<T>(from.v[i]);
    }
  }
  /// *sum += weight * dy on mixed channels.
  __device__ void add_mixed(Channels<N>& sum, float weight, const Channels<N>& dy) const {
    for (int i = 0; i < N; ++i)
      if (whole ? i % (K > 0 ? K : 1) == 0 : part[i] == 0) sum.v[i] += weight * dy.v[i];
  }
};

/// What N neighbours of every edge's dy leave: the mixed ones themselves, sums of all parts.
template <int N, int K, class T>
struct ShuffledReader {
  const Differentiation<T>& k;
  const ShuffledTiling& t;
  const ShuffledMemory<T>& memory;
  const ShuffledPlace& place;
  int from;  ///< channel of dy
  ShuffledPlaces<N, K> places;

  /// (row, column) counts from one pixel above and left of the tile where there are pools.
  __device__ void operator()(int i, int row, int column) const {
    const ConvBundle& b = k.p.bundle;
    const pixel_tiles::Tile& tile = place.tile;
    const int border = t.pools ? 1 : 0;
    row -= border;
    column -= border;
    const int y = tile.row + row, x = tile.column + column;
    const bool inside = y >= 0 && y < b.h && x >= 0 && x < b.w;
    const bool own = row >= 0 && row < tile.rows && column >= 0 && column < tile.columns;
    Channels<N> sum = {}, pool = {};
    if (inside) {
      const std::int64_t offset =
          pixel_tiles::offset_of(place.pixel(b, row, column), b.x_channels) + from;
      if (own) {
        read_own(offset, (row * tile.columns + column) * place.count, sum, pool);
      } else {
        DRNAS_UNROLL_4
        for (int e = 0; e < k.pool.count; ++e)
          if (!k.pool.zeros_rest || memory.weights.pool[e] != 0.0f)
            places.add_mixed(pool, memory.weights.pool[e], load_channels<N>(k.pool.dy[e] + offset));
      }
      const float share = pixel_tiles::window_share(y, b.h) * pixel_tiles::window_share(x, b.w);
      for (int j = 0; j < N; ++j) pool.v[j] *= share;
    }
    if (t.pools) places.store(memory.pooled + i * place.count, pool, 0);
  }

 private:
  /// A pixel of the tile, whose channels are at `at` in each plane.
  __device__ void read_own(std::int64_t offset, int at, Channels<N>& sum, Channels<N>& pool) const {
    const ConvBundle& b = k.p.bundle;
    Channels<N> skip = {};
    int skips = 0, pools = 0;
    DRNAS_UNROLL_4
    for (int e = 0; e < b.edges; ++e) {
      const Channels<N> dy = load_channels<N>(k.p.edge[e].dy + offset);
      sum.add(k.p.edge[e].bypass_weight ? static_cast<float>(*k.p.edge[e].bypass_weight) : 1.0f,
              dy);
      if (k.convolves(e)) places.store(memory.dy + t.plane[e] * memory.dy_pitch + at, dy, 0);
      if (t.parts == 0) continue;
      if (k.p.edge[e].skip_weight) places.add_mixed(skip, memory.weights.skip[skips++], dy);
      if (k.p.edge[e].pool_weight) places.add_mixed(pool, memory.weights.pool[pools++], dy);
    }
    if (t.parts == 0) return;
    places.store(memory.sums + at, skip, 0);
    if constexpr (ShuffledPlaces<N, K>::whole) {
      for (int part = 1; part < K; ++part)
        places.store(memory.sums + part * memory.sum_pitch + at, sum, part);
    } else {
      for (int i = 0; i < N; ++i)
        if (places.part[i] > 0)
          memory.sums[places.part[i] * memory.sum_pitch + at + places.at[i]] = sum.v[i];
    }
  }
};

/// Adds the average pools' part to that of the identities.
template <int V, class T>
__device__ void add_pools(const ShuffledMemory<T>& memory, const ShuffledPlace& place) {
  const int pitch = (place.tile.columns + 2) * place.count;
  pixel_tiles::each_vector<bundle_threads>(
      place.count / V, place.tile.rows, place.tile.columns, [&](int vector) {
        return [&, at = vector * V](int i, int row, int column) {
          const float* corner = memory.pooled + row * pitch + column * place.count + at;
          float* to = memory.sums + i * place.count + at;
          Channels<V> sum = load_channels<V>(to);
          for (int down = 0; down < 3; ++down)
            for (int across = 0; across < 3; ++across)
              sum += load_channels<V>(corner + down * pitch + across * place.count);
          store_channels(to, sum);
        };
      });
}

/// dz of one size, zeros in its padding and for what does not run.
template <int V, class T>
__device__ void differentiate_size(const Differentiation<T>& k, int s, unsigned running,
                                   const ShuffledTiling& t, const ShuffledMemory<T>& memory,
                                   const ShuffledPlace& place) {
  const ConvBundle& b = k.p.bundle;
  const int groups = place.count / V, given = b.count(s) * groups, stride = k.z_channels[s],
            padding = place.first == 0 ? (stride - b.rows(s)) / V : 0;
  pixel_tiles::each_vector<bundle_threads>(
      given + padding, place.tile.rows, place.tile.columns, [&](int vector) {
        const bool pads = vector >= given;
        const int slot = pads ? 0 : vector / groups, edge = t.edge[s][slot],
                  at = (vector - slot * groups) * V;
        const bool runs = !pads && running >> (2 * edge + s) & 1;
        const int channel = pads ? b.rows(s) + (vector - given) * V : slot * b.c + place.first + at;
        Coefficients<V> of = {};
        if (runs) of.load(k.p.edge[edge].coefficients[s] + place.first + at, b.c);
        const T* dy = memory.dy + t.plane[edge] * memory.dy_pitch + at;
        return [&, of, dy, channel, runs, stride](int i, int row, int column) {
          const std::int64_t where =
              pixel_tiles::offset_of(place.pixel(b, row, column), stride) + channel;
          Channels<V> dz = {};
          if (runs)
            dz = of.apply(load_channels<V>(dy + i * place.count),
                          load_channels<V>(k.p.z[s] + where));
          store_channels(k.dz[s] + where, dz);
        };
      });
}

/// The start of dx: identities and pools, and the bypass.
template <int V, class T>
__device__ void start_gradient(const Differentiation<T>& k, const ShuffledMemory<T>& memory,
                               const ShuffledPlace& place) {
  const ConvBundle& b = k.p.bundle;
  const int groups = place.count / V;
  pixel_tiles::each_vector<bundle_threads>(
      b.parts() * groups, place.tile.rows, place.tile.columns, [&](int vector) {
        const int part = vector / groups, at = (vector - part * groups) * V;
        const float* from = memory.sums + part * memory.sum_pitch + at;
        return [&, from, channel = part * b.c + place.first + at](int i, int row, int column) {
          store_channels(
              k.p.dx + pixel_tiles::offset_of(place.pixel(b, row, column), b.x_channels) + channel,
              load_channels<V>(from + i * place.count));
        };
      });
}

/// u of the tile, zeros in its padding and where nothing runs.
template <int V, class T>
__device__ void rectify_tile(const Differentiation<T>& k, unsigned running,
                             const ShuffledPlace& place) {
  const ConvBundle& b = k.p.bundle;
  const int given = place.count / V, padding = place.first == 0 ? (k.c_pad - b.c) / V : 0;
  pixel_tiles::each_vector<bundle_threads>(
      given + padding, place.tile.rows, place.tile.columns, [&](int vector) {
        const int at = vector < given ? place.first + vector * V : b.c + (vector - given) * V;
        return [&, at](int, int row, int column) {
          const int pixel = place.pixel(b, row, column);
          Channels<V> u = {};
          if (running) u = load_rectified<V>(b, k.p.x, pixel, at);
          store_channels(k.u + pixel_tiles::offset_of(pixel, k.c_pad) + at, u);
        };
      });
}

/// A block does a tile and a chunk: dz of all edges and their sizes, u; starts dx with identity,
/// pool and bypass. After these blocks others pack weights.
template <class T, int V, int K>
__global__ void __launch_bounds__(bundle_threads, 3)
    differentiate_shuffled_kernel(Differentiation<T> k, ShuffledTiling t,
                                  WeightPacking<T> packing) {
  const ConvBundle& b = k.p.bundle;
  const unsigned running = k.running();
  if (blockIdx.x >= k.items) {
    if (running) pack_weight(packing, global_thread() - std::int64_t{k.items} * bundle_threads);
    return;
  }
  constexpr int width = shuffled_width<T, V, K>;
  const ShuffledMemory<T> memory(t, shared_memory());
  const ShuffledPlace place(b, t);
  memory.weights.load(k);
  __syncthreads();
  const int parts = K > 0 ? K : b.parts(), around = t.pools ? 2 : 0;
  pixel_tiles::each_vector<bundle_threads>(place.count * parts / width, place.tile.rows + around,
                                           place.tile.columns + around, [&](int vector) {
                                             return ShuffledReader<width, K, T>{
                                                 k,
                                                 t,
                                                 memory,
                                                 place,
                                                 place.first * parts + vector * width,
                                                 ShuffledPlaces<width, K>(vector, parts)};
                                           });
  __syncthreads();
  for (int s = 0; s < b.sizes; ++s)
    if (k.dz[s]) differentiate_size<V>(k, s, running, t, memory, place);
  if (k.u) rectify_tile<V>(k, running, place);
  if (t.parts == 0) return;
  if (t.pools) {
    add_pools<V>(memory, place);
    __syncthreads();
  }
  start_gradient<V>(k, memory, place);
}

/// Calls body.template operator()<K>() for numbers of parts that kernels know, else with 0.
template <class Body>
void dispatch_parts(int parts, const Body& body) {
  if (parts == 2) return body.template operator()<2>();
  if (parts == 4) return body.template operator()<4>();
  if (parts == 8) return body.template operator()<8>();
  body.template operator()<0>();
}

}  // namespace
}  // namespace drnas::kernels
