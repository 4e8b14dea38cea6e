// SPDX-License-Identifier: MIT
// All convolutions of a bundle in one launch: u = relu(x) of a tile is loaded once for both kernel
// sizes and all edges of a slice, or mixed from what enters the node (bundle_tile_mix.h); the raw
// outputs are stored with the statistics of what is stored.
// Blocks leave one part a channel; the last of a group of blocks merges the group's, the last group
// merges the groups.
#include "kernels/bundle/bundle_tile_forward.h"

#include <cmath>

#include "kernels/bundle/bundle_statistics.h"
#include "kernels/bundle/bundle_tile_mix.h"
#include "kernels/bundle/bundle_tiles.h"
#include "kernels/bundle/node_forward.h"
#include "kernels/core/arrival.h"
#include "kernels/core/carver.h"
#include "kernels/core/shared_bytes.h"

namespace drnas::kernels {
namespace {

using pixel_tiles::Tile;
using Counters = ArrivalCounters<16384>;
__device__ Counters counters;  // of the groups, then of the slices

template <class T>
struct Forward {
  ConvBundleForwardOf<T> p;
  BundleTiling t;
  int width = 0;                               ///< of loads
  int tiles = 0, group_tiles = 0, groups = 0;  ///< tiles in all and in a group, groups
  TilePart* parts = nullptr;                   ///< [tiles][columns]
  TilePart* group_parts = nullptr;             ///< [groups][columns]
  TileMix<T> mix = {};                         ///< makes x, unless x is there

  /// Channels of all slices and both sizes.
  DRNAS_HD int columns() const { return t.slices * ConvBundle::max_sizes * t.slice(); }
  /// Where the channels of this block's slice begin.
  __device__ TilePart* of_slice(TilePart* all, int row) const {
    return all + std::int64_t{row} * columns() +
           static_cast<int>(blockIdx.y) * ConvBundle::max_sizes * t.slice();
  }
};

/// Sum over the lanes that hold the same columns.
__device__ inline float column_sum(float value) {
  for (int other = 4; other < 32; other *= 2) value += __shfl_xor_sync(full_warp, value, other);
  return value;
}

/// Leaves the warp's part of each channel of the slice: the mean, then squares around it.
template <int M, int N>
__device__ void leave_parts(const LanePixels<M>& pixels, const float (&sums)[M][N][4],
                            TilePart* parts) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float present = 0;
  for (int m = 0; m < M; ++m)
    for (int i = 0; i < 2; ++i) present += pixels.at[m][i] >= 0 ? 1.0f : 0.0f;
  const float count = column_sum(present), inverse = count > 0 ? 1.0f / count : 0.0f;
  DRNAS_UNROLL
  for (int n = 0; n < N; ++n)
    for (int v = 0; v < 2; ++v) {
      float sum = 0, squares = 0;
      for (int m = 0; m < M; ++m)
        for (int i = 0; i < 2; ++i)
          if (pixels.at[m][i] >= 0) sum += sums[m][n][2 * i + v];
      const float mean = column_sum(sum) * inverse;
      for (int m = 0; m < M; ++m)
        for (int i = 0; i < 2; ++i) {
          const float d = pixels.at[m][i] >= 0 ? sums[m][n][2 * i + v] - mean : 0.0f;
          squares += d * d;
        }
      squares = column_sum(squares);
      if (lane < 4)
        store_packed(parts + channel_of<N>(8 * n + 2 * lane + v),
                     TilePart{mean, squares, count, 0.0f});
    }
}

/// Merges `count` parts `stride` apart in their order, in double around the first one's mean (Chan
/// et al. 1983).
__device__ inline Merged merge(const TilePart* parts, int count, std::int64_t stride,
                               double& total) {
  const double shift = parts->mean;
  double first = 0, second = 0;
  total = 0;
  // Loads of several parts go ahead of their sums.
  DRNAS_UNROLL_4
  for (int i = 0; i < count; ++i) {
    const TilePart part = load_packed(parts + i * stride);
    const double n = part.count, delta = part.mean - shift;
    total += n;
    first += n * delta;
    second += part.m2 + n * delta * delta;
  }
  const double m2 = second - first * first / total;
  return {shift + first / total, m2 < 0 ? 0.0 : m2};  // a NaN stays
}

__device__ inline TilePart part_of(const Merged& merged, double total) {
  return {static_cast<float>(merged.mean), static_cast<float>(merged.m2), static_cast<float>(total),
          0.0f};
}

/// Channels of the slice, of both sizes, each by one thread: body(size, place among both sizes'
/// channels of the slice, channel).
template <class T, class Body>
__device__ void each_channel(const Forward<T>& k, int first, const Body& body) {
  const int slice = k.t.slice();
  for (int at = static_cast<int>(threadIdx.x); at < k.p.bundle.sizes * slice; at += tile_threads) {
    const int s = at / slice, channel = first + at - s * slice;
    if (channel < k.p.bundle.rows(s)) body(s, at, channel);
  }
}

/// From the warps' parts to the statistics.
template <class T>
__device__ void finish_statistics(const Forward<T>& k, int first, const TileMemory& memory) {
  const int slice = k.t.slice(), tile = static_cast<int>(blockIdx.x), group = tile / k.group_tiles,
            first_tile = group * k.group_tiles,
            in_group = pixel_tiles::min_of(k.group_tiles, k.tiles - first_tile);
  double total;
  each_channel(k, first, [&](int s, int at, int channel) {
    if (!k.p.runs(s, channel)) return;
    const Merged all =
        merge(memory.parts + s * tile_warps * slice + at - s * slice, tile_warps, slice, total);
    store_packed(k.of_slice(k.parts, tile) + at, part_of(all, total));
  });
  const unsigned slot = blockIdx.y * k.groups + group;
  if (!arrives_last(counters.counter + slot, in_group, memory.last)) return;
  each_channel(k, first, [&](int s, int at, int channel) {
    if (!k.p.runs(s, channel)) return;
    const Merged all = merge(k.of_slice(k.parts, first_tile) + at, in_group, k.columns(), total);
    if (k.groups == 1)
      store_statistics(k.p, s, channel, total, all);
    else
      store_packed(k.of_slice(k.group_parts, group) + at, part_of(all, total));
  });
  if (k.groups == 1) return;
  const unsigned last = k.t.slices * k.groups + blockIdx.y;
  if (!arrives_last(counters.counter + last, k.groups, memory.last)) return;
  each_channel(k, first, [&](int s, int at, int channel) {
    if (!k.p.runs(s, channel)) return;
    const Merged all = merge(k.of_slice(k.group_parts, 0) + at, k.groups, k.columns(), total);
    store_statistics(k.p, s, channel, total, all);
  });
}

/// Statistics that do not wait for the convolutions: of what does not run, and in evaluation.
template <class T>
__device__ void known_statistics(const Forward<T>& k, int first) {
  each_channel(k, first, [&](int s, int, int channel) {
    if (!k.p.training)
      load_statistics(k.p, s, channel);
    else if (!k.p.runs(s, channel))
      rest(k.p, s, channel);
  });
}

/// Convolves one size, stores its outputs and leaves its statistics' parts.
template <class Numbers, int M, int N, class T>
__device__ void forward_size(const Forward<T>& k, int s, int first, const TileRows& rows,
                             const LeftOperand<Numbers, M>& a, const LanePixels<M>& pixels,
                             const TileMemory& memory) {
  const ConvBundle& b = k.p.bundle;
  float sums[M][N][4] = {};
  convolve_tile(rows, s, a, memory, sums);
  round_sums<M, N, T>(b, s, first, sums);
  store_sums(b, s, first, pixels, k.p.z[s], sums);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  if (k.p.training) leave_parts(pixels, sums, memory.parts + (s * tile_warps + warp) * k.t.slice());
}

/// Grid (tiles, slices).
template <class Numbers, int M, int N, class T>
__global__ void __launch_bounds__(tile_threads, resident_blocks<Numbers, M, N>)
    forward_kernel(Forward<T> k) {
  const ConvBundle& b = k.p.bundle;
  const int first = static_cast<int>(blockIdx.y) * k.t.slice();
  unsigned running = 0;  // bit s: size s runs
  for (int s = 0; s < b.sizes; ++s)
    if (first < b.rows(s) && k.p.gates.open_rows(b, s, first, first + k.t.slice()))
      running |= 1u << s;
  if (blockIdx.x == 0) known_statistics(k, first);
  const bool stores = k.mix.y && blockIdx.y == 0;
  if (!running && !stores) return;
  const TileMemory memory(k.t, shared_memory());
  const Tile tile(k.t.grid, b.h, b.w, static_cast<int>(blockIdx.x));
  if (k.mix.y) {
    store_zeros<Numbers>(memory.u + TileMemory::zero(k.t));
    load_mixed_tile<Numbers>(k.mix, k.t, tile, stores,
                             MixMemory(k.mix, memory.u + TileMemory::inputs(k.t)),
                             chunks_at<Numbers>(memory.u));
    if (!running) return;
    __syncthreads();
  } else {
    load_rectified_tile<Numbers>(b, k.t, tile, k.p.x, k.width, memory);
  }
  for (int s = 0; s < b.sizes; ++s) {
    if (!(running >> s & 1)) continue;
    load_weights<Numbers, N>(b, k.t, s, first, k.p.weight[s], k.width, memory);
    load_offsets(b, k.t, s, 0, memory);
  }
  __syncthreads();
  const TileRows rows{k.t, tile, b.w};
  const auto a = left_operand<Numbers, M>(rows, memory);
  const LanePixels<M> pixels(rows);
  for (int s = 0; s < b.sizes; ++s)
    if (running >> s & 1) forward_size<Numbers, M, N>(k, s, first, rows, a, pixels, memory);
  if (!k.p.training) return;
  __syncthreads();
  finish_statistics(k, first, memory);
}

template <class Numbers, class T>
Forward<T> describe(const ConvBundleForwardOf<T>& p, bool by_edge, void* workspace,
                    std::size_t* bytes) {
  Forward<T> k{p, BundleTiling(p.bundle, tile_limits<Numbers>, by_edge)};
  k.width = load_width<Numbers>(p.bundle.c);
  k.tiles = static_cast<int>(k.t.tiles(p.bundle));
  k.group_tiles = static_cast<int>(std::ceil(std::sqrt(static_cast<double>(k.tiles))));
  k.groups = static_cast<int>(blocks_for(k.tiles, k.group_tiles));
  if (k.t.slices * (k.groups + 1) > Counters::size)
    throw Error("conv_bundle: " + std::to_string(p.bundle.pixels()) + " pixels, expected fewer");
  Carver carve(workspace);
  k.parts = carve.take<TilePart>(std::int64_t{k.tiles} * k.columns());
  k.group_parts = carve.take<TilePart>(std::int64_t{k.groups} * k.columns());
  if (bytes) *bytes = carve.bytes();
  return k;
}

/// Shared bytes of a block that mixes.
template <class T>
std::size_t mixing_bytes(const BundleTiling& t, const TileMix<T>& mix) {
  return TileMemory::bytes_with(t, MixMemory(mix, nullptr).bytes);
}

template <class T>
void start(const ConvBundleForwardOf<T>& p, const NodeMixOf<T>* mix, T* y, void* workspace,
           Stream stream) {
  with_numbers<T>([&]<class Numbers>() {
    const bool by_edge = p.gates.of[0][0] != nullptr;
    Forward<T> k = describe<Numbers>(p, by_edge, workspace, nullptr);
    LaunchShape shape = launch_shape(k.t, k.p.bundle);
    if (mix) {
      k.mix = TileMix<T>(*mix, y, k.t);
      shape.shared_bytes = mixing_bytes(k.t, k.mix);
    }
    dispatch_tile<Numbers>(k.t.m, k.t.n, [&]<int M, int N>() {
      launch(mix ? "node_forward" : "conv_bundle_forward", forward_kernel<Numbers, M, N, T>, shape,
             stream, k);
    });
  });
}

}  // namespace

template <class T>
bool runs_bundle_tiles(const ConvBundle& b) {
  return wants_tiles() && with_numbers<T>([&]<class Numbers>() {
           return BundleTiling(b, tile_limits<Numbers>, false).fits();
         });
}
template <class T>
std::size_t bundle_tile_forward_workspace(const ConvBundle& b) {
  return with_numbers<T>([&]<class Numbers>() {
    ConvBundleForwardOf<T> p{};
    p.bundle = b;
    std::size_t bytes[2];
    for (const bool by_edge : {false, true})
      describe<Numbers>(p, by_edge, nullptr, &bytes[by_edge]);
    return std::max(bytes[0], bytes[1]);
  });
}
template <class T>
void bundle_tile_forward(const ConvBundleForwardOf<T>& p, void* workspace, Stream stream) {
  start<T>(p, nullptr, nullptr, workspace, stream);
}

template bool runs_bundle_tiles<float>(const ConvBundle&);
template bool runs_bundle_tiles<bfloat16>(const ConvBundle&);
template std::size_t bundle_tile_forward_workspace<float>(const ConvBundle&);
template std::size_t bundle_tile_forward_workspace<bfloat16>(const ConvBundle&);
template void bundle_tile_forward<float>(const ConvBundleForwardOf<float>&, void*, Stream);
template void bundle_tile_forward<bfloat16>(const ConvBundleForwardOf<bfloat16>&, void*, Stream);

/// Whole chunks of channels that are not shuffled, terms that have statistics, and room for what
/// pools read.
template <class T>
bool node_forward_joins(const NodeMixOf<T>& mix, const ConvBundle& b) {
  if (b.sizes == 0 || b.parts() != 1 || b.c % 8 != 0 || mix.c != b.c || mix.channels != b.c ||
      mix.n != b.n || mix.h != b.h || mix.w != b.w || !runs_bundle_tiles<T>(b))
    return false;
  for (int t = 0; t < mix.terms; ++t)
    if (!mix.term[t].inv_std) return false;
  return with_numbers<T>([&]<class Numbers>() {
    const auto fits = [&](bool by_edge) {
      const BundleTiling t(b, tile_limits<Numbers>, by_edge);
      return mixing_bytes(t, TileMix<T>(mix, nullptr, t)) <= most_shared_bytes;
    };
    return fits(false) && fits(true);
  });
}
template <class T>
void node_forward(const NodeMixOf<T>& mix, T* y, const ConvBundleForwardOf<T>& bundle,
                  void* workspace, Stream stream) {
  if (!y || bundle.x != y || !node_forward_joins(mix, bundle.bundle))
    throw Error(
        "node_forward: a node that the bundle does not read, or shapes that are not run as "
        "one");
  start(bundle, &mix, y, workspace, stream);
}

template bool node_forward_joins<float>(const NodeMix&, const ConvBundle&);
template bool node_forward_joins<bfloat16>(const NodeMixOf<bfloat16>&, const ConvBundle&);
template void node_forward<float>(const NodeMix&, float*, const ConvBundleForward&, void*, Stream);
template void node_forward<bfloat16>(const NodeMixOf<bfloat16>&, bfloat16*,
                                     const ConvBundleForwardOf<bfloat16>&, void*, Stream);

}  // namespace drnas::kernels
