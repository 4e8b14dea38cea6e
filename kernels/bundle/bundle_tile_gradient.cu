// SPDX-License-Identifier: MIT
// The gradient of a node by tiles: an edge after the other, a block loads dz of its tile for both
// sizes and the filters turned around, and adds to its sums; at the end it masks them and adds them
// to dx. Columns are the node's channels, depth is the taps' output channels of an edge.
#include "kernels/bundle/bundle_tile_gradient.h"

#include "kernels/bundle/bundle_tiles.h"

namespace drnas::kernels {
namespace {

using pixel_tiles::Tile;

constexpr int vector = 4;  ///< channels of dx that are neighbours in a lane

template <class T>
struct Gradient {
  TileGradient<T> p;
  BundleTiling t;
  int width;  ///< of loads of dz
};

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
  return {turned(b), limits, false};
}

/// dz of an edge and size.
template <class Numbers, class T>
__device__ void load_gradient_tile(const Gradient<T>& k, const Tile& tile, int s, int slot,
                                   const TileMemory& memory) {
  const ConvBundle& b = k.p.bundle;
  const T* from = k.p.dz[s] + slot * b.c;
  const int stride = b.z_channels(s);
  load_tile<Numbers>(
      b, k.t, tile, s, memory, [&](int pixel, int at, float(&v)[chunk_channels<Numbers>]) {
        load_chunk(from + pixel_tiles::offset_of(pixel, stride) + at, k.width, b.c - at, v);
      });
}

/// The filters of an edge and size, turned around, as columns of B: depth in taps' output channels.
template <class Numbers, int N, class T>
__device__ void load_turned_weights(const Gradient<T>& k, int first, int s, int slot,
                                    const TileMemory& memory) {
  constexpr int E = chunk_channels<Numbers>;
  const ConvBundle& b = k.p.bundle;
  auto* to = chunks_at<Numbers>(memory.weights(s));
  const int taps = b.kernel[s] * b.kernel[s];
  pixel_tiles::each_vector<tile_threads>(8 * N / vector, k.t.chunks[s], 1, [&](int group) {
    const int channel = group * vector;
    return [&, channel](int chunk, int, int) {
      const int tap = taps - 1 - chunk / k.t.planes, output = chunk % k.t.planes * E;
      float v[vector][E] = {};
      for (int i = 0; i < E; ++i) {
        if (tap < 0 || output + i >= b.c || first + channel >= b.c) continue;
        const std::int64_t row = slot * b.c + output + i;
        const auto weights =
            load_channels<vector>(k.p.weight[s] + (row * taps + tap) * b.c + first + channel);
        for (int c = 0; c < vector; ++c) v[c][i] = weights.v[c];
      }
      for (int c = 0; c < vector; ++c)
        store_operand<Numbers>(to + chunk * k.t.weight_pitch() + column_of<N>(channel + c), v[c]);
    };
  });
}

/// dx += the sums where x > 0.
template <int M, int N, class T>
__device__ void add_masked(const Gradient<T>& k, int first, const LanePixels<M>& pixels,
                           const float (&sums)[M][N][4]) {
  constexpr int side = N == 1 ? 1 : 2;
  const ConvBundle& b = k.p.bundle;
  const int column = static_cast<int>(threadIdx.x) % 4 * 2;
  DRNAS_UNROLL
  for (int n = 0; n < N; n += side) {
    const int channel = first + channel_of<N>(8 * n + column);
    if (channel >= b.c) continue;
    DRNAS_UNROLL
    for (int m = 0; m < M; ++m)
      for (int i = 0; i < 2; ++i) {
        if (pixels.at[m][i] < 0) continue;
        T* to = k.p.dx + pixel_tiles::offset_of(pixels.at[m][i], b.x_channels) + channel;
        const auto x = load_channels<2 * side>(
            k.p.x + pixel_tiles::offset_of(pixels.at[m][i], b.read_stride()) + channel);
        auto dx = load_channels<2 * side>(to);
        for (int j = 0; j < side; ++j)
          for (int v = 0; v < 2; ++v)
            if (x.v[2 * j + v] > 0.0f) dx.v[2 * j + v] += sums[m][n + j][2 * i + v];
        store_channels(to, dx);
      }
  }
}

/// Grid (tiles, slices).
template <class Numbers, int M, int N, class T>
__global__ void __launch_bounds__(tile_threads, resident_blocks<Numbers, M, N>)
    gradient_kernel(Gradient<T> k) {
  const ConvBundle& b = k.p.bundle;
  if (!k.p.gates.any(b)) return;
  const int first = static_cast<int>(blockIdx.y) * k.t.slice();
  const TileMemory memory(k.t, shared_memory());
  const Tile tile(k.t.grid, b.h, b.w, static_cast<int>(blockIdx.x));
  store_zeros<Numbers>(k.t, memory);
  for (int s = 0; s < b.sizes; ++s) load_offsets(b, k.t, s, s, memory);
  const TileRows rows{k.t, tile, b.w};
  const auto a = left_operand<Numbers, M>(rows, memory);
  float sums[M][N][4] = {};
  for (int e = 0; e < b.edges; ++e) {
    unsigned running = 0;
    for (int s = 0; s < b.sizes; ++s)
      if (b.has(s, e) && k.p.gates.open(s, b.slot(s, e))) running |= 1u << s;
    if (!running) continue;
    __syncthreads();
    for (int s = 0; s < b.sizes; ++s) {
      if (!(running >> s & 1)) continue;
      load_gradient_tile<Numbers>(k, tile, s, b.slot(s, e), memory);
      load_turned_weights<Numbers, N>(k, first, s, b.slot(s, e), memory);
    }
    __syncthreads();
    for (int s = 0; s < b.sizes; ++s)
      if (running >> s & 1) convolve_tile(rows, s, a, memory, sums);
  }
  add_masked(k, first, LanePixels<M>(rows), sums);
}

}  // namespace

template <class T>
bool runs_gradient_tiles(const ConvBundle& b) {
  return conv_source() == ConvSource::own && b.c % vector == 0 &&
         with_numbers<T>([&]<class Numbers>() { return gradient_tiling<Numbers>(b).fits(); });
}

template <class T>
void bundle_tile_gradient(const TileGradient<T>& p, Stream stream) {
  with_numbers<T>([&]<class Numbers>() {
    const Gradient<T> k{p, gradient_tiling<Numbers>(p.bundle), load_width<Numbers>(p.bundle.c)};
    dispatch_tile<Numbers>(k.t, [&]<int M, int N>() {
      launch("conv_bundle_gradient", gradient_kernel<Numbers, M, N, T>, launch_shape(k.t, p.bundle),
             stream, k);
    });
  });
}

template bool runs_gradient_tiles<float>(const ConvBundle&);
template bool runs_gradient_tiles<bfloat16>(const ConvBundle&);
template void bundle_tile_gradient<float>(const TileGradient<float>&, Stream);
template void bundle_tile_gradient<bfloat16>(const TileGradient<bfloat16>&, Stream);

}  // namespace drnas::kernels
