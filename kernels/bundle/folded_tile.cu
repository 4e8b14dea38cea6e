// SPDX-License-Identifier: MIT
// A bundle in evaluation in one launch: blocks fold batch norm and mixing weights into the weights
// of their slice as they load them.
#include "kernels/bundle/bundle_tile_forward.h"
#include "kernels/bundle/bundle_tiles.h"
#include "kernels/bundle/folded_weights.h"

namespace drnas::kernels {
namespace {

using pixel_tiles::Tile;

template <class T>
struct FoldedForward {
  FoldedWeights<T> weights;
  BundleTiling t;
  int width;         ///< of loads of x
  int weight_width;  ///< of loads of weights, which are float32
};

/// Channels of the slice that there are, each by one thread: body(channel of the slice, edge,
/// channel of the edge).
template <class T, class Body>
__device__ void each_row(const FoldedForward<T>& k, int first, const Body& body) {
  const ConvBundle& b = k.weights.folded;
  for (int at = static_cast<int>(threadIdx.x); at < k.t.slice() && first + at < b.rows(0);
       at += tile_threads) {
    const int slot = (first + at) / b.c;
    body(at, k.weights.edge[slot], first + at - slot * b.c);
  }
}

/// Leaves the scales of the slice's channels [max_sizes][slice], and in the first tile their means.
template <class T>
__device__ void load_scales(const FoldedForward<T>& k, int first, float* scales) {
  each_row(k, first, [&](int at, int e, int channel) {
    for (int s = 0; s < ConvBundle::max_sizes; ++s)
      scales[s * k.t.slice() + at] = k.weights.scale(s, e, channel);
    if (blockIdx.x == 0) k.weights.p.mean[first + at] = k.weights.mean_of(e, channel);
  });
}

/// A chunk of folded weights by vectors of V.
template <int V, class T, int E>
__device__ void fold_chunk(const FoldedForward<T>& k, int e, int channel, int tap, int at,
                           float first, float second, float (&to)[E]) {
  for (int i = 0; i < E && at + i < k.weights.folded.c; i += V) {
    const Channels<V> piece = k.weights.template sum_sizes<V>(
        e, channel, tap, at + i, [&](int s) { return s == 0 ? first : second; });
    for (int v = 0; v < V; ++v) to[i + v] = piece.v[v];
  }
}

/// The slice's folded weights as columns of B.
template <class Numbers, int N, class T>
__device__ void load_folded(const FoldedForward<T>& k, int first, const float* scales,
                            const TileMemory& memory) {
  const ConvBundle& b = k.weights.folded;
  load_columns<Numbers, N>(b, k.t, 0, memory,
                           [&](int row, int tap, int at, float(&v)[chunk_channels<Numbers>]) {
                             if (first + row >= b.rows(0)) return;
                             const int slot = (first + row) / b.c, e = k.weights.edge[slot],
                                       channel = first + row - slot * b.c;
                             const float scale = scales[row], other = scales[8 * N + row];
                             if (k.weight_width == 4)
                               fold_chunk<4>(k, e, channel, tap, at, scale, other, v);
                             else if (k.weight_width == 2)
                               fold_chunk<2>(k, e, channel, tap, at, scale, other, v);
                             else
                               fold_chunk<1>(k, e, channel, tap, at, scale, other, v);
                           });
}

/// Grid (tiles, slices).
template <class Numbers, int M, int N, class T>
__global__ void __launch_bounds__(tile_threads, resident_blocks<Numbers, M, N>)
    folded_kernel(FoldedForward<T> k) {
  const ConvBundle& b = k.weights.folded;
  const int first = static_cast<int>(blockIdx.y) * k.t.slice();
  const TileMemory memory(k.t, shared_memory());
  float* scales = reinterpret_cast<float*>(memory.parts);
  const Tile tile(k.t.grid, b.h, b.w, static_cast<int>(blockIdx.x));
  load_scales(k, first, scales);
  load_rectified_tile<Numbers>(b, k.t, tile, k.weights.p.x, k.width, memory);
  load_offsets(b, k.t, 0, 0, memory);
  __syncthreads();
  load_folded<Numbers, N>(k, first, scales, memory);
  __syncthreads();
  const TileRows rows{k.t, tile, b.w};
  const auto a = left_operand<Numbers, M>(rows, memory);
  const LanePixels<M> pixels(rows);
  float sums[M][N][4] = {};
  convolve_tile(rows, 0, a, memory, sums);
  round_sums<M, N, T>(b, 0, first, sums);
  store_sums(b, 0, first, pixels, k.weights.p.z, sums);
}

}  // namespace

template <class T>
void folded_tile_forward(const FoldedBundleOf<T>& p, Stream stream) {
  with_numbers<T>([&]<class Numbers>() {
    const FoldedWeights<T> weights(p);
    const ConvBundle& b = weights.folded;
    const FoldedForward<T> k{weights, BundleTiling(b, tile_limits<Numbers>, false),
                             load_width<Numbers>(b.c), load_width<Fp32Numbers>(b.c)};
    dispatch_tile<Numbers>(k.t.m, k.t.n, [&]<int M, int N>() {
      launch("folded_bundle", folded_kernel<Numbers, M, N, T>, launch_shape(k.t, b), stream, k);
    });
  });
}

template void folded_tile_forward<float>(const FoldedBundleOf<float>&, Stream);
template void folded_tile_forward<bfloat16>(const FoldedBundleOf<bfloat16>&, Stream);

}  // namespace drnas::kernels
