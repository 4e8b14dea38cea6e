// SPDX-License-Identifier: MIT
// The gradient of a node by tiles: an edge after the other, a block loads dz of its tile for both
// sizes and the filters turned around, and adds to its sums; at the end it masks them and adds them
// to dx. Columns are the node's channels, depth is the taps' output channels of an edge. Then it
// may reduce its tile for the mix that made the node. After these blocks others add up gradients of
// weights.
#include "kernels/bundle/bundle_tile_gradient.h"

#include "kernels/bundle/bundle_differential.h"
#include "kernels/bundle/bundle_tile_reduction.h"
#include "kernels/bundle/weight_sums.h"
#include "kernels/core/shared_bytes.h"

namespace drnas::kernels {
namespace {

using pixel_tiles::Tile;

__device__ node_mix_device::Counters counters;

template <class T>
struct Gradient {
  BundleDifferential<T> d;
  BundleTiling t;
  int width;       ///< of loads of stored dz
  unsigned tiles;  ///< blocks
  WeightSums sums;
  bool whole;
  TileReduction<T> reduction = {};

  /// Has any edge a pool whose share is not in dx yet?
  DRNAS_HD bool pools() const {
    bool any = false;
    for (int e = 0; e < d.p.bundle.edges; ++e) any = any || d.p.edge[e].pool_weight;
    return whole && any;
  }
};

/// Mixing weights of identities and pools, in a block's shared memory; zero where there is none.
struct OperationWeights {
  float skip[ConvBundle::max_edges], pool[ConvBundle::max_edges];

  template <class T>
  __device__ void load(const ConvBundleBackwardOf<T>& p) {
    const int e = static_cast<int>(threadIdx.x);
    if (e >= p.bundle.edges) return;
    const auto value = [](const double* weight) {
      return weight ? static_cast<float>(*weight) : 0;
    };
    skip[e] = value(p.edge[e].skip_weight);
    pool[e] = value(p.edge[e].pool_weight);
  }
};

/// In eights: a node's channels are mostly a power of two.
constexpr int most_columns = 4;

/// The bundle whose forward pass has the shape of one edge's gradient.
ConvBundle turned(const ConvBundle& b) {
  ConvBundle one = b;
  one.edges = 1;
  for (int s = 0; s < ConvBundle::max_sizes; ++s) one.present[s] = ConvBundle::every_edge;
  return one;
}

template <class Numbers>
BundleTiling gradient_tiling(const ConvBundle& b) {
  TileLimits limits = tile_limits<Numbers>;
  limits.inputs = ConvBundle::max_sizes;
  limits.around = 1;  // for pools
  limits.most_n = most_columns;
  return {turned(b), limits, false};
}

/// dz of an edge's sizes that run.
template <class Numbers, class T>
__device__ void load_gradient_tiles(const Gradient<T>& k, const Tile& tile, int edge,
                                    unsigned running, const TileMemory& memory) {
  const ConvBundle& b = k.d.p.bundle;
  const auto planes = [&](int s) {
    return DifferentialPlanes<Numbers>{chunks_at<Numbers>(memory.u) + s * k.t.count(),
                                       b.kernel[s] / 2};
  };
  const auto chunk = [&, edge](int s, int at) {
    return DifferentialChunk<Numbers, false, T>(k.d, s, b.slot(s, edge) * b.c + at, k.width,
                                                b.c - at);
  };
  if (running == 3) return load_differentials<Numbers>(b, k.t, tile, planes(0), planes(1), chunk);
  const int s = running == 1 ? 0 : 1;
  load_tile<Numbers>(b, k.t, tile, planes(s).planes, [&, s](int at) { return chunk(s, at); });
}

/// The filters of an edge and size, turned around, as columns of B: depth in taps' output channels.
/// Of the node's channels V neighbours at a time.
template <class Numbers, int N, int V, class T>
__device__ void load_turned_weights(const Gradient<T>& k, int first, int s, int slot,
                                    const TileMemory& memory) {
  constexpr int E = chunk_channels<Numbers>;
  const ConvBundle& b = k.d.p.bundle;
  auto* to = chunks_at<Numbers>(memory.weights(s));
  const int taps = b.kernel[s] * b.kernel[s];
  pixel_tiles::each_vector<tile_threads>(8 * N / V, k.t.chunks[s], 1, [&](int group) {
    const int channel = group * V;
    return [&, channel](int chunk, int, int) {
      const int tap = taps - 1 - chunk / k.t.planes, output = chunk % k.t.planes * E;
      float v[V][E] = {};
      for (int i = 0; i < E; ++i) {
        if (tap < 0 || output + i >= b.c || first + channel >= b.c) continue;
        const std::int64_t row = slot * b.c + output + i;
        const auto weights =
            load_channels<V>(k.d.p.weight[s] + (row * taps + tap) * b.c + first + channel);
        for (int c = 0; c < V; ++c) v[c][i] = weights.v[c];
      }
      for (int c = 0; c < V; ++c)
        store_operand<Numbers>(to + chunk * k.t.weight_pitch() + column_of<N>(channel + c), v[c]);
    };
  });
}

/// Identities' share of dx at an element, and what pools average; each dy is read once. `within`:
/// the pixel is the tile's own, and not only one that pools read. `count` channels are left.
template <int E, class T>
__device__ inline void add_operations(const Gradient<T>& k, const OperationWeights& weights,
                                      std::int64_t where, int count, bool within,
                                      float (&direct)[E], float (&pooled)[E]) {
  const ConvBundleBackwardOf<T>& p = k.d.p;
  for (int e = 0; e < p.bundle.edges; ++e) {
    const auto runs = [&](const double* weight, float value) {
      return weight && !(p.zeros_rest && value == 0.0f);
    };
    const bool skips = within && runs(p.edge[e].skip_weight, weights.skip[e]),
               pools = runs(p.edge[e].pool_weight, weights.pool[e]);
    if (!skips && !pools) continue;
    float dy[E] = {};
    load_chunk(p.edge[e].dy + where, k.width, count, dy);
    for (int i = 0; i < E; ++i) {
      if (skips) direct[i] += weights.skip[e] * dy[i];
      if (pools) pooled[i] += weights.pool[e] * dy[i];
    }
  }
}

/// What dx has beside the convolutions' share, in the place of dz: identities where the second
/// size was; where the first was, sum_e pool_e dy_e of the tile and a pixel around it.
template <class Numbers>
struct Rest {
  static constexpr int E = chunk_channels<Numbers>;
  TilePlanes planes;
  Chunk<typename Numbers::Stored>*direct, *pooled;  ///< the second null: there is no pool

  /// The rest of a pixel of the tile, V channels of the slice.
  template <int V, class T>
  __device__ Channels<V> at(const Gradient<T>& k, const TileRows& rows, int down, int across,
                            int channel) const {
    const ConvBundle& b = k.d.p.bundle;
    const int place = place_of(down, across, channel), row = rows.tile.row + down,
              column = rows.tile.column + across;
    auto sum = load_channels<V>(direct[place].element + channel % E);
    for (int i = -1; i <= 1 && pooled; ++i)
      for (int j = -1; j <= 1; ++j)
        sum.add(
            pixel_tiles::window_share(row + i, b.h) * pixel_tiles::window_share(column + j, b.w),
            load_channels<V>(pooled[place + i * planes.row_pitch + j].element + channel % E));
    return sum;
  }
  /// Puts a pixel's gradient in the place of its direct share.
  template <int V>
  __device__ void keep(int down, int across, int channel, const Channels<V>& dx) const {
    store_channels(direct[place_of(down, across, channel)].element + channel % E, dx);
  }

 private:
  __device__ int place_of(int down, int across, int channel) const {
    return channel / E * planes.plane_pitch +
           planes.start(down + planes.halo(), across + planes.halo());
  }
};

template <class Numbers, class T>
__device__ Rest<Numbers> load_rest(const Gradient<T>& k, const Tile& tile, int first,
                                   const OperationWeights& weights, const TileMemory& memory) {
  using Plain = Unrounded<Numbers>;
  constexpr int E = chunk_channels<Numbers>;
  const ConvBundle& b = k.d.p.bundle;
  auto* pooled = chunks_at<Plain>(memory.u);
  Rest<Numbers> rest{k.t, pooled + k.t.count(), k.pools() ? pooled : nullptr};
  TilePlanes& planes = rest.planes;
  planes.planes = pixel_tiles::min_of(k.t.slice() / E, k.t.planes);
  pixel_tiles::each_vector<tile_threads>(
      planes.planes, planes.rows_of(tile.rows), planes.row_pitch, [&](int plane) {
        return [&, at = first + plane * E, start = plane * planes.plane_pitch](int place, int row,
                                                                               int column) {
          const int down = row - planes.halo(), across = column - planes.halo(),
                    i = tile.row + down, j = tile.column + across;
          const bool within = tile.has(down, across);
          if (!within && !rest.pooled) return;
          float direct[E] = {}, sum[E] = {};
          if (i >= 0 && i < b.h && j >= 0 && j < b.w)
            add_operations(
                k, weights,
                pixel_tiles::offset_of(tile.first_pixel + i * b.w + j, b.x_channels) + at, b.c - at,
                within, direct, sum);
          if (rest.pooled) store_operand<Plain>(rest.pooled + start + place, sum);
          if (within) store_operand<Plain>(rest.direct + start + place, direct);
        };
      });
  __syncthreads();
  return rest;
}

/// dx = the rest and the sum where x > 0, of V channels.
template <int V, class T>
__device__ inline Channels<V> finish_channels(Channels<V> rest, const Channels<V>& sum, const T* x,
                                              T* to) {
  const auto value = load_channels<V>(x);
  for (int i = 0; i < V; ++i)
    if (value.v[i] > 0.0f) rest.v[i] += sum.v[i];
  store_channels(to, rest);
  return rest;
}

/// dx from the sums of the convolutions and the rest. Where a mix is to be reduced, dx is kept in
/// shared memory too, in the place of the identities' share.
template <class Numbers, int M, int N, class T>
__device__ Rest<Numbers> finish_gradient(const Gradient<T>& k, const TileRows& rows, int first,
                                         const OperationWeights& weights, const TileMemory& memory,
                                         const float (&sums)[M][N][4]) {
  constexpr int side = N == 1 ? 1 : 2, V = 2 * side;
  const ConvBundle& b = k.d.p.bundle;
  Rest<Numbers> rest{};
  if (k.whole) {
    __syncthreads();
    rest = load_rest<Numbers>(k, rows.tile, first, weights, memory);
  }
  const int lane = static_cast<int>(threadIdx.x) % 32;
  DRNAS_UNROLL
  for (int of_lane = 0; of_lane < 2 * M; ++of_lane) {
    const int m = of_lane / 2, i = of_lane % 2;
    int down, across;
    if (!rows.find(first_row<M>() + 8 * of_lane + lane / 4, down, across)) continue;
    const int pixel = rows.pixel(down, across);
    const T* x = k.d.p.x + pixel_tiles::offset_of(pixel, b.read_stride()) + first;
    T* dx = k.d.p.dx + pixel_tiles::offset_of(pixel, b.x_channels) + first;
    DRNAS_UNROLL
    for (int n = 0; n < N; n += side) {
      const int channel = channel_of<N>(8 * n + lane % 4 * 2);
      if (first + channel >= b.c) continue;
      Channels<V> sum;
      for (int j = 0; j < side; ++j)
        for (int v = 0; v < 2; ++v) sum.v[2 * j + v] = sums[m][n + j][2 * i + v];
      if (b.c % V == 0) {
        const auto finished =
            finish_channels(k.whole ? rest.template at<V>(k, rows, down, across, channel)
                                    : load_channels<V>(dx + channel),
                            sum, x + channel, dx + channel);
        if (k.reduction.wanted) rest.keep(down, across, channel, finished);
        continue;
      }
      DRNAS_UNROLL
      for (int v = 0; v < V; ++v)
        if (first + channel + v < b.c)
          finish_channels(load_channels<1>(dx + channel + v), Channels<1>{{sum.v[v]}},
                          x + channel + v, dx + channel + v);
    }
  }
  return rest;
}

/// At most as many as of other tiles: the coefficients of a chunk and both sizes are in registers.
template <class Numbers, int M, int N>
constexpr int resident_gradient_blocks = M* N >= 8         ? 2
                                         : Numbers::tensor ? 3
                                                           : 2;

/// Grid (tiles and blocks for weights, slices).
template <class Numbers, int M, int N, class T>
__global__ void __launch_bounds__(tile_threads, resident_gradient_blocks<Numbers, M, N>)
    gradient_kernel(Gradient<T> k) {
  const ConvBundle& b = k.d.p.bundle;
  const BundleGates& gates = k.d.p.gates;
  if (blockIdx.x >= k.tiles) {
    const std::int64_t block =
        blockIdx.x - k.tiles + std::int64_t{blockIdx.y} * (gridDim.x - k.tiles);
    return add_weight(k.sums, block * tile_threads + threadIdx.x);
  }
  if (!k.whole && !gates.any(b)) return;
  const int first = static_cast<int>(blockIdx.y) * k.t.slice();
  const TileMemory memory(k.t, shared_memory());
  const Tile tile(k.t.grid, b.h, b.w, static_cast<int>(blockIdx.x));
  // In the place of parts, which are not used here.
  OperationWeights& weights = *reinterpret_cast<OperationWeights*>(memory.parts);
  weights.load(k.d.p);
  store_zeros<Numbers>(memory.u + TileMemory::zero(k.t));
  for (int s = 0; s < b.sizes; ++s) load_offsets(b, k.t, s, s, memory);
  const TileRows rows{k.t, tile, b.w};
  const auto a = left_operand<Numbers, M>(rows, memory);
  float sums[M][N][4] = {};
  for (int e = 0; e < b.edges; ++e) {
    unsigned running = 0;
    for (int s = 0; s < b.sizes; ++s)
      if (b.has(s, e) && gates.open(s, b.slot(s, e))) running |= 1u << s;
    if (!running) continue;
    __syncthreads();
    load_gradient_tiles<Numbers>(k, tile, e, running, memory);
    for (int s = 0; s < b.sizes; ++s) {
      if (!(running >> s & 1)) continue;
      if (b.c % 4 == 0)
        load_turned_weights<Numbers, N, 4>(k, first, s, b.slot(s, e), memory);
      else
        load_turned_weights<Numbers, N, 1>(k, first, s, b.slot(s, e), memory);
    }
    __syncthreads();
    for (int s = 0; s < b.sizes; ++s)
      if (running >> s & 1) convolve_tile(rows, s, a, memory, sums);
  }
  const auto rest = finish_gradient<Numbers>(k, rows, first, weights, memory, sums);
  if (!k.reduction.wanted) return;
  __syncthreads();
  // In the place of filters and mixing weights, which all warps have read.
  reduce_tile<Numbers>(
      k.reduction, counters, rest.planes, tile, rest.direct, first, k.t.slice(),
      ReductionMemory(k.reduction.b.mix, k.t.slice(), memory.u + TileMemory::inputs(k.t)));
}

/// Shared bytes of a block that reduces.
template <class T>
std::size_t reduction_bytes(const BundleTiling& t, const NodeMixOf<T>& mix) {
  return TileMemory::bytes_with(t, ReductionMemory(mix, t.slice(), nullptr).bytes);
}

template <class T>
node_mix_device::Partials partials_of(const BundleTiling& t, const ConvBundle& b,
                                      const NodeMixOf<T>& mix, void* memory) {
  return {mix, t.slice(), t.slices, t.tiles(b), memory};
}

}  // namespace

template <class T>
bool runs_gradient_tiles(const ConvBundle& b) {
  return wants_tiles() &&
         with_numbers<T>([&]<class Numbers>() { return gradient_tiling<Numbers>(b).fits(); });
}

template <class T>
std::size_t tile_reduction_workspace(const ConvBundle& b, const NodeMixOf<T>& mix) {
  if (mix.sources > TileReduction<T>::most_sources || b.parts() != 1 || mix.c != b.c ||
      mix.channels != b.c || mix.n != b.n || mix.h != b.h || mix.w != b.w)
    return 0;
  return with_numbers<T>([&]<class Numbers>() -> std::size_t {
    const BundleTiling t = gradient_tiling<Numbers>(b);
    const auto partials = partials_of(t, b, mix, nullptr);
    if (!partials.counters_fit() || reduction_bytes(t, mix) > most_shared_bytes) return 0;
    return sizeof(double) * static_cast<std::size_t>(partials.doubles);
  });
}

template <class T>
void bundle_tile_gradient(const TileGradient<T>& p, Stream stream) {
  const ConvBundle& b = p.p.bundle;
  with_numbers<T>([&]<class Numbers>() {
    const BundleTiling t = gradient_tiling<Numbers>(b);
    Gradient<T> k{BundleDifferential<T>(p.p),        t,      load_width<Numbers>(b.c),
                  static_cast<unsigned>(t.tiles(b)), p.sums, p.whole};
    std::copy_n(p.dz, b.sizes, k.d.stored);
    LaunchShape shape = launch_shape(t, b);
    if (p.mix) {
      k.reduction = {*p.mix, partials_of(t, b, p.mix->mix, p.mix_workspace), true};
      shape.shared_bytes = reduction_bytes(t, p.mix->mix);
    }
    shape.blocks += blocks_for(p.sums.weights, std::int64_t{tile_threads} * shape.rows);
    dispatch_tile<Numbers, most_columns>(t.m, t.n, [&]<int M, int N>() {
      launch(p.mix ? "node_backward" : "conv_bundle_gradient", gradient_kernel<Numbers, M, N, T>,
             shape, stream, k);
    });
  });
}

template bool runs_gradient_tiles<float>(const ConvBundle&);
template bool runs_gradient_tiles<bfloat16>(const ConvBundle&);
template std::size_t tile_reduction_workspace<float>(const ConvBundle&, const NodeMix&);
template std::size_t tile_reduction_workspace<bfloat16>(const ConvBundle&,
                                                        const NodeMixOf<bfloat16>&);
template void bundle_tile_gradient<float>(const TileGradient<float>&, Stream);
template void bundle_tile_gradient<bfloat16>(const TileGradient<bfloat16>&, Stream);

}  // namespace drnas::kernels
