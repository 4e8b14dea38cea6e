// SPDX-License-Identifier: MIT
// The gradient of a node by tiles: an edge after the other, a block loads dz of its tile for both
// sizes and the filters turned around, and adds to its sums; at the end it masks them and adds them
// to dx. Columns are the node's channels, depth is the taps' output channels of an edge. After
// these blocks others add up gradients of weights.
#include "kernels/bundle/bundle_tile_gradient.h"

#include "kernels/bundle/bundle_differential.h"
#include "kernels/bundle/weight_sums.h"

namespace drnas::kernels {
namespace {

using pixel_tiles::Tile;

template <class T>
struct Gradient {
  BundleDifferential<T> d;
  BundleTiling t;
  int width;       ///< of loads of stored dz
  unsigned tiles;  ///< blocks
  WeightSums sums;
  bool whole;
  OperationEdges<T> skip = {}, pool = {};  ///< none where dx is not whole
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

/// dz of an edge and size.
template <class Numbers, class T>
__device__ void load_gradient_tile(const Gradient<T>& k, const Tile& tile, int s, int slot,
                                   const TileMemory& memory) {
  const ConvBundle& b = k.d.p.bundle;
  load_tile<Numbers>(
      b, k.t, tile, chunks_at<Numbers>(memory.u) + s * k.t.count(), [&, s, slot](int at) {
        return DifferentialChunk<Numbers, false, T>(k.d, s, slot * b.c + at, k.width, b.c - at);
      });
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

/// sum += the edges' weighted dy at an element; `count` channels are left.
template <int E, class T>
__device__ inline void add_edges(const OperationEdges<T>& edges, const float* weights,
                                 std::int64_t where, int width, int count, float (&sum)[E]) {
  for (int e = 0; e < edges.count; ++e) {
    if (edges.zeros_rest && weights[e] == 0.0f) continue;
    float dy[E] = {};
    load_chunk(edges.dy[e] + where, width, count, dy);
    for (int i = 0; i < E; ++i) sum[i] += weights[e] * dy[i];
  }
}

/// What dx has beside the convolutions' share, in the place of dz: sum_e pool_e dy_e of the tile
/// and a pixel around it where the first size was, then identities and pools where the second was.
template <class Numbers, class T>
__device__ TilePlanes load_rest(const Gradient<T>& k, const Tile& tile, int first,
                                const EdgeWeights& weights, const TileMemory& memory) {
  using Plain = Unrounded<Numbers>;
  constexpr int E = chunk_channels<Numbers>;
  const ConvBundle& b = k.d.p.bundle;
  TilePlanes planes = k.t;
  planes.planes = pixel_tiles::min_of(k.t.slice() / E, k.t.planes);
  auto* pooled = chunks_at<Plain>(memory.u);
  if (k.pool.count > 0) {
    load_tile<Plain>(b, planes, tile, pooled, [&](int plane_channel) {
      return [&, at = first + plane_channel](int pixel, float(&sum)[E]) {
        add_edges(k.pool, weights.pool, pixel_tiles::offset_of(pixel, b.x_channels) + at, k.width,
                  b.c - at, sum);
      };
    });
    __syncthreads();
  }
  auto* rest = pooled + k.t.count();
  pixel_tiles::each_vector<tile_threads>(planes.planes, tile.rows, tile.columns, [&](int plane) {
    return [&, at = first + plane * E, from = pooled + plane * planes.plane_pitch,
            to = rest + plane * planes.plane_pitch](int, int down, int across) {
      const int row = tile.row + down, column = tile.column + across,
                place = planes.start(down + planes.halo(), across + planes.halo());
      float sum[E] = {};
      add_edges(k.skip, weights.skip,
                pixel_tiles::offset_of(tile.first_pixel + row * b.w + column, b.x_channels) + at,
                k.width, b.c - at, sum);
      for (int i = -1; i <= 1 && k.pool.count > 0; ++i)
        for (int j = -1; j <= 1; ++j) {
          const float share =
              pixel_tiles::window_share(row + i, b.h) * pixel_tiles::window_share(column + j, b.w);
          const auto chunk = load_packed(from + place + i * planes.row_pitch + j);
          for (int v = 0; v < E; ++v) sum[v] += share * static_cast<float>(chunk.element[v]);
        }
      store_operand<Plain>(to + place, sum);
    };
  });
  __syncthreads();
  return planes;
}

/// dx = what is there, or `rest`, and the sum where x > 0, of V channels.
template <int V, class T>
__device__ inline void finish_channels(const Channels<V>& sum, const T* rest, const T* x, T* to) {
  auto dx = load_channels<V>(rest ? rest : to);
  const auto value = load_channels<V>(x);
  for (int i = 0; i < V; ++i)
    if (value.v[i] > 0.0f) dx.v[i] += sum.v[i];
  store_channels(to, dx);
}

/// dx from the sums of the convolutions and the rest.
template <class Numbers, int M, int N, class T>
__device__ void finish_gradient(const Gradient<T>& k, const TileRows& rows, int first,
                                const EdgeWeights& weights, const TileMemory& memory,
                                const float (&sums)[M][N][4]) {
  constexpr int side = N == 1 ? 1 : 2, V = 2 * side, E = chunk_channels<Numbers>;
  const ConvBundle& b = k.d.p.bundle;
  TilePlanes planes;
  if (k.whole) {
    __syncthreads();
    planes = load_rest<Numbers>(k, rows.tile, first, weights, memory);
  }
  const auto* rest = chunks_at<Numbers>(memory.u) + k.t.count();
  const int lane = static_cast<int>(threadIdx.x) % 32;
  DRNAS_UNROLL
  for (int of_lane = 0; of_lane < 2 * M; ++of_lane) {
    const int m = of_lane / 2, i = of_lane % 2;
    int down, across;
    if (!rows.find(first_row<M>() + 8 * of_lane + lane / 4, down, across)) continue;
    const int pixel = rows.pixel(down, across),
              place = k.t.start(down + k.t.halo(), across + k.t.halo());
    const T* x = k.d.p.x + pixel_tiles::offset_of(pixel, b.read_stride()) + first;
    T* dx = k.d.p.dx + pixel_tiles::offset_of(pixel, b.x_channels) + first;
    DRNAS_UNROLL
    for (int n = 0; n < N; n += side) {
      const int channel = channel_of<N>(8 * n + lane % 4 * 2);
      if (first + channel >= b.c) continue;
      const T* from = k.whole
                          ? (rest + channel / E * planes.plane_pitch + place)->element + channel % E
                          : nullptr;
      Channels<V> sum;
      for (int j = 0; j < side; ++j)
        for (int v = 0; v < 2; ++v) sum.v[2 * j + v] = sums[m][n + j][2 * i + v];
      if (b.c % V == 0) {
        finish_channels(sum, from, x + channel, dx + channel);
        continue;
      }
      DRNAS_UNROLL
      for (int v = 0; v < V; ++v)
        if (first + channel + v < b.c)
          finish_channels(Channels<1>{{sum.v[v]}}, from ? from + v : nullptr, x + channel + v,
                          dx + channel + v);
    }
  }
}

/// Grid (tiles and blocks for weights, slices).
template <class Numbers, int M, int N, class T>
__global__ void __launch_bounds__(tile_threads, resident_blocks<Numbers, M, N>)
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
  EdgeWeights& weights = *reinterpret_cast<EdgeWeights*>(memory.parts);  // which are not used here
  weights.load(k);
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
    for (int s = 0; s < b.sizes; ++s) {
      if (!(running >> s & 1)) continue;
      load_gradient_tile<Numbers>(k, tile, s, b.slot(s, e), memory);
      if (b.c % 4 == 0)
        load_turned_weights<Numbers, N, 4>(k, first, s, b.slot(s, e), memory);
      else
        load_turned_weights<Numbers, N, 1>(k, first, s, b.slot(s, e), memory);
    }
    __syncthreads();
    for (int s = 0; s < b.sizes; ++s)
      if (running >> s & 1) convolve_tile(rows, s, a, memory, sums);
  }
  finish_gradient<Numbers>(k, rows, first, weights, memory, sums);
}

}  // namespace

template <class T>
bool runs_gradient_tiles(const ConvBundle& b) {
  return wants_tiles() &&
         with_numbers<T>([&]<class Numbers>() { return gradient_tiling<Numbers>(b).fits(); });
}

template <class T>
void bundle_tile_gradient(const TileGradient<T>& p, Stream stream) {
  const ConvBundle& b = p.p.bundle;
  with_numbers<T>([&]<class Numbers>() {
    const BundleTiling t = gradient_tiling<Numbers>(b);
    Gradient<T> k{BundleDifferential<T>(p.p),        t,      load_width<Numbers>(b.c),
                  static_cast<unsigned>(t.tiles(b)), p.sums, p.whole};
    if (p.whole) choose_operations(p.p, k.skip, k.pool);
    std::copy_n(p.dz, b.sizes, k.d.stored);
    LaunchShape shape = launch_shape(t, b);
    shape.blocks += blocks_for(p.sums.weights, std::int64_t{tile_threads} * shape.rows);
    dispatch_tile<Numbers, most_columns>(t.m, t.n, [&]<int M, int N>() {
      launch("conv_bundle_gradient", gradient_kernel<Numbers, M, N, T>, shape, stream, k);
    });
  });
}

template bool runs_gradient_tiles<float>(const ConvBundle&);
template bool runs_gradient_tiles<bfloat16>(const ConvBundle&);
template void bundle_tile_gradient<float>(const TileGradient<float>&, Stream);
template void bundle_tile_gradient<bfloat16>(const TileGradient<bfloat16>&, Stream);

}  // namespace drnas::kernels
