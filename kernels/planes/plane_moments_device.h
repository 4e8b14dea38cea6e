// SPDX-License-Identifier: MIT
// Statistics of channels on CUDA, in one launch: a channel's last block merges what all of its
// blocks found. For .cu files.
#pragma once

#include "kernels/planes/plane_device.h"
#include "kernels/planes/plane_statistics.h"

namespace drnas::kernels {
namespace {

__device__ ChannelCounters moments_arrived;

/// Where the statistics of N tensors go.
template <int N>
struct MomentsOut {
  static_assert(N == 1 || N == 2);
  PlaneMoments* partial;          ///< [N, c, rows]; null: nothing is measured
  PlaneStatistics statistics[N];  ///< mean null: none are wanted
  NormMode mode;
  SharedGates gates[N] = {};

  /// By constant indices, since parameters that another one reads lie on the stack.
  __device__ PlaneStatistics of(int t) const { return t == 0 ? statistics[0] : statistics[N - 1]; }
  /// Which tensors are made, a bit each.
  __device__ unsigned running() const {
    return (gates[0].open() ? 1u : 0u) | (N > 1 && gates[N - 1].open() ? 2u : 0u);
  }
};

/// Statistics of channel `ch` from its rows, by one warp.
__device__ inline void finish_moments(int rows, const PlaneMoments* partial,
                                      const PlaneStatistics& out, const NormMode& mode, int ch) {
  const int lane = threadIdx.x % warp_lanes;
  PlaneMoments moments;
  for (int row = lane; row < rows; row += warp_lanes) moments.merge(partial[row]);
  for (int other = warp_lanes / 2; other > 0; other /= 2)
    moments.merge({__shfl_down_sync(full_warp, moments.count, other),
                   __shfl_down_sync(full_warp, moments.mean, other),
                   __shfl_down_sync(full_warp, moments.m2, other)});
  if (lane == 0) finish_statistics(moments, out, mode, ch);
}

/// Merges a tile's values of N tensors into their moments. As on the CPU, the deviations' sum
/// corrects the mean they are taken from.
template <int V, int held, int N>
__device__ inline void merge_tile(const ChannelPixels& pixels, int tile,
                                  const float (&values)[held][N][V], PlaneMoments (&moments)[N]) {
  float sums[N] = {}, deviations[2 * N] = {}, middle[N];
  double totals[N], corrections[2 * N];
  pixels.each<held>(tile, [&](int k, int, int) {
    for (int t = 0; t < N; ++t)
      for (int v = 0; v < V; ++v) sums[t] += values[k][t][v];
  });
  block_sums(sums, totals);
  const double count = static_cast<double>(pixels.in_tile<held>(tile)) * V;
  for (int t = 0; t < N; ++t) middle[t] = static_cast<float>(totals[t] / count);
  pixels.each<held>(tile, [&](int k, int, int) {
    for (int t = 0; t < N; ++t)
      for (int v = 0; v < V; ++v) {
        const float d = values[k][t][v] - middle[t];
        deviations[2 * t] += d;
        deviations[2 * t + 1] = fmaf(d, d, deviations[2 * t + 1]);
      }
  });
  block_sums(deviations, corrections);
  for (int t = 0; t < N; ++t) {
    const double sum = corrections[2 * t], m2 = corrections[2 * t + 1] - sum * sum / count;
    moments[t].merge({count, middle[t] + sum / count, m2 > 0 ? m2 : 0.0});
  }
}

/// Blocks of a multiprocessor: more registers for each where the compiler would spill.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1200
constexpr int moments_blocks = 3;
#else
constexpr int moments_blocks = 4;
#endif

/// Statistics of the N tensors' values that load(image, channel, vector, running, values) gives; in
/// evaluation from the running ones. Of tensors that are not made only what rest() leaves.
template <int V, int held, int N, class Load>
__global__ void __launch_bounds__(plane_threads, moments_blocks)
    moments_kernel(ChannelPixels pixels, Load load, MomentsOut<N> out) {
  const int ch = blockIdx.y, row = blockIdx.x, c = gridDim.y, thread = threadIdx.x;
  const unsigned running = out.running();
  if (row == 0 && thread < N && !(running >> thread & 1) && out.of(thread).mean)
    rest(out.of(thread), ch);
  if (!running) return;
  PlaneMoments moments[N];
  for (int tile = row; tile < pixels.tiles; tile += pixels.rows) {
    float values[held][N][V] = {};
    pixels.each<held>(
        tile, [&](int k, int image, int vector) { load(image, ch, vector, running, values[k]); });
    if (out.partial) merge_tile(pixels, tile, values, moments);
  }
  if (!out.partial) {
    if (row == 0 && thread < N && running >> thread & 1 && out.of(thread).mean)
      take_running_statistics(out.of(thread), out.mode, ch);
    return;
  }
  if (thread == 0)
    for (int t = 0; t < N; ++t)
      out.partial[(std::int64_t{t} * c + ch) * pixels.rows + row] = moments[t];
  if (!arrives_last(moments_arrived.counter + ch, pixels.rows,
                    static_cast<unsigned*>(shared_memory())))
    return;
  const int t = thread / static_cast<int>(warp_lanes);
  if (t < N && running >> t & 1)
    finish_moments(pixels.rows, out.partial + (std::int64_t{t} * c + ch) * pixels.rows, out.of(t),
                   out.mode, ch);
}

/// Bytes of the workspace for N tensors.
inline std::size_t moments_workspace(int n, int c, std::int64_t pixels, int tensors) {
  return sizeof(PlaneMoments) * static_cast<std::size_t>(tensors * c * rows_bound(n, pixels));
}

}  // namespace
}  // namespace drnas::kernels
