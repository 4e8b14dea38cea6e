// SPDX-License-Identifier: MIT
// A block holds a tile of one channel of dy in registers while all terms and sources pass by. The
// last block of a channel adds up the channel's tiles, the last channel all channels.
#include "kernels/planes/plane_device.h"
#include "kernels/planes/plane_mix.h"
#include "kernels/planes/plane_statistics.h"

namespace drnas::kernels {
namespace {

/// Sums of a channel: of dy (z_t - mean_t), of dy, of dy x_s.
inline int sum_count(const PlaneMix& p) { return p.terms + 1 + p.sources; }
/// Totals of a channel: of the terms, the sources, and where there are gates that add of dy.
DRNAS_HD inline int total_count(const PlaneMix& p) {
  return p.terms + p.sources + (p.gates.adds ? 1 : 0);
}
constexpr int most_sums = PlaneMix::max_terms + 1 + PlaneMix::max_sources;
/// Threads of a block that each add some of the rows of one sum, one for each share.
constexpr int sum_threads = 64, row_shares = plane_threads / sum_threads;
static_assert(most_sums <= sum_threads);

__device__ ChannelCounters arrived;
__device__ ArrivalCounters<1> channels_arrived;

/// The workspace.
struct Partials {
  double* rows;   ///< [c, row count, sums], rows `pitch` apart: whole sectors
  double* total;  ///< [c, total_count] parts of the mixing weights' gradient
  int pitch;

  Partials(const PlaneMix& p, int row_count, void* memory)
      : rows(static_cast<double*>(memory)),
        total(rows + pitch_of(p) * std::int64_t{p.c} * row_count),
        pitch(pitch_of(p)) {}
  static int pitch_of(const PlaneMix& p) { return (sum_count(p) + 3) / 4 * 4; }
  static std::size_t bytes(const PlaneMix& p) {
    return sizeof(double) * static_cast<std::size_t>(p.c) *
           static_cast<std::size_t>(pitch_of(p) * rows_bound(p.n, p.pixels) + total_count(p));
  }
};

/// A thread's part of a tile of dy, zero past the end.
template <int V, int held>
struct HeldGradient {
  float dy[held][V] = {};
  int image[held], at[held];  ///< image -1: past the end

  __device__ HeldGradient(const PlaneMixBackward& b, const ChannelPixels& pixels, int tile,
                          int ch) {
    for (int k = 0; k < held; ++k) image[k] = -1;
    pixels.each<held>(tile, [&](int k, int from, int vector) {
      image[k] = from;
      at[k] = vector * V;
      load_vector(plane_of(b.dy, b.mix.pixels, from, std::int64_t{ch} * b.mix.parts()) + at[k],
                  dy[k]);
    });
  }
  __device__ float sum() const {
    float total = 0.0f;
    for (int k = 0; k < held; ++k)
      for (int v = 0; v < V; ++v) total += dy[k][v];
    return total;
  }
  /// Sum of dy factor x.
  __device__ float dropped_product(const PlaneMix& p, const PlaneMixSource& source, int ch) const {
    const SkipFactors factors(p.dropout);
    float total = 0.0f;
    for (int k = 0; k < held; ++k) {
      if (image[k] < 0) continue;
      float values[V], factor[V];
      load_vector(plane_of(source.x, p.pixels, image[k], ch) + at[k], values);
      factors.vector(source.skip, std::int64_t{image[k]} * p.c + ch, p.pixels, at[k], factor);
      for (int v = 0; v < V; ++v) total = fmaf(dy[k][v], factor[v] * values[v], total);
    }
    return total;
  }
  /// Sum of dy (z - middle).
  __device__ float product(const ConstPlanes& z, std::int64_t pixels, int ch, float middle) const {
    const float* plane = z.data + ch * pixels;
    float values[held][V] = {};
    for (int k = 0; k < held; ++k)
      if (image[k] >= 0) load_vector(plane + image[k] * z.stride + at[k], values[k]);
    float total = 0.0f;
    for (int k = 0; k < held; ++k)
      for (int v = 0; v < V; ++v) total = fmaf(dy[k][v], values[k][v] - middle, total);
    return total;
  }
};

/// Is sum k of an operation that does not run?
__device__ inline bool sum_rests(const PlaneMix& p, int k) {
  if (p.gates.rows == 0 || k == p.terms) return false;
  return !p.gates.runs(p.theta,
                       k < p.terms ? p.term[k].theta : p.source[k - p.terms - 1].skip_theta);
}
/// Is any of so many sums wanted?
__device__ inline bool sums_wanted(const PlaneMixBackward& b, int sums) {
  const PlaneMix& p = b.mix;
  bool any = p.gates.rows == 0 || (b.dtheta && p.gates.adds);
  for (int k = 0; k < sums && !any; ++k)
    any = k < p.terms
              ? !sum_rests(p, k)
              : k > p.terms && p.source[k - p.terms - 1].skip_theta >= 0 && !sum_rests(p, k);
  return any;
}

/// Index in theta of what total k is for; -1 where it is for no operation.
__device__ inline int theta_index(const PlaneMix& p, int k) {
  if (k >= p.terms + p.sources) return -1;
  const int index = k < p.terms ? p.term[k].theta : p.source[k - p.terms].skip_theta;
  return index >= 0 && p.gates.runs(p.theta, index) ? index : -1;
}

/// Adds the channels up, in order, and to dtheta; equal mixing weights, in order, by the thread
/// that has the first of them. By one block; `values`: shared memory [total_count].
__device__ inline void add_to_weights(const PlaneMixBackward& b, const double* total,
                                      double* values) {
  const PlaneMix& p = b.mix;
  const int count = total_count(p), thread = threadIdx.x;
  const int index = thread < count ? theta_index(p, thread) : -1;
  const bool wanted = index >= 0 || (p.gates.adds && thread == count - 1);
  double sum = 0.0;
  for (int ch = 0; ch < p.c && wanted; ++ch) sum += total[std::int64_t{ch} * count + thread];
  if (thread < count) values[thread] = sum;
  __syncthreads();
  if (p.gates.adds && thread < p.gates.entries()) {
    const int gate = p.gates.index(thread);
    if (p.theta[gate] == 0.0) b.dtheta[gate] += values[count - 1];
  }
  if (index < 0) return;
  for (int k = 0; k < thread; ++k)
    if (theta_index(p, k) == index) return;
  for (int k = thread + 1; k < count; ++k)
    if (theta_index(p, k) == index) sum += values[k];
  b.dtheta[index] += sum;
}

/// Sum k over the rows of a channel, in threads k < sums; parts: shared memory [row_shares,
/// sum_threads], of which the first share is free again. Every thread of the block must call it.
__device__ inline double sum_rows(const double* rows, int row_count, int pitch, int sums,
                                  double* parts) {
  const int share = static_cast<int>(threadIdx.x) / sum_threads,
            k = static_cast<int>(threadIdx.x) % sum_threads;
  double sum = 0.0;
  for (int row = share; row < row_count && k < sums; row += row_shares)
    sum += rows[std::int64_t{row} * pitch + k];
  parts[threadIdx.x] = sum;
  __syncthreads();
  for (int other = 1; other < row_shares && share == 0; ++other)
    sum += parts[other * sum_threads + k];
  return sum;
}

/// Coefficients of a channel, and its part of the mixing weights' gradient, from its rows. By one
/// block; `memory`: shared, [row_shares, sum_threads].
__device__ inline void finish_channel(const PlaneMixBackward& b, int ch, int row_count, int sums,
                                      const Partials& from, double* memory) {
  const PlaneMix& p = b.mix;
  const int thread = threadIdx.x, k = thread < p.terms ? thread : thread - 1;
  const double sum = sum_rows(from.rows + std::int64_t{ch} * row_count * from.pitch, row_count,
                              from.pitch, sums, memory);
  double* total = from.total + std::int64_t{ch} * total_count(p);
  if (thread == p.terms) {
    memory[0] = sum;
    if (p.gates.adds) total[p.terms + p.sources] = sum;
  }
  __syncthreads();
  if (thread >= sums || thread == p.terms) return;
  if (thread > p.terms) {
    total[k] = sum;
    return;
  }
  const PlaneMixTerm& term = p.term[k];
  total[k] = sum * term.inv_std[ch];
  finish_gradient(p.theta[term.theta], term.mean[ch], term.inv_std[ch], memory[0], sum, b.count(),
                  b.coefficients[k], p.c, ch);
}

/// Shared memory of reduce_kernel: first the warps' parts of the sums, then what the last block
/// adds up.
struct ReduceShared {
  double* doubles;
  unsigned* last;

  static constexpr std::size_t count = row_shares * sum_threads,
                               bytes = sizeof(double) * count + sizeof(unsigned);
  static_assert(sizeof(float) * plane_warps * sum_threads <= sizeof(double) * count);

  __device__ ReduceShared()
      : doubles(static_cast<double*>(shared_memory())),
        last(reinterpret_cast<unsigned*>(doubles + count)) {}
};

/// Blocks (x: rows, y: channels) leave their sums; thread k of a block keeps sum k. Those of what
/// does not run are zero; where no sum is wanted, as nothing that could have a gradient runs,
/// blocks leave.
template <int V, int held, bool drops>
__global__ void __launch_bounds__(plane_threads, 3)
    reduce_kernel(PlaneMixBackward b, ChannelPixels pixels, Partials out) {
  const PlaneMix& p = b.mix;
  const ReduceShared shared;
  float* parts = reinterpret_cast<float*>(shared.doubles);  // [warps, sum_threads]
  const int ch = blockIdx.y, row = blockIdx.x, thread = threadIdx.x;
  const int sums = p.terms + 1 + (b.dtheta ? p.sources : 0);
  if (!sums_wanted(b, sums)) return;
  const bool keeps = thread < sums && !sum_rests(p, thread);
  const auto leave = [&](int k, float value) {
    value = warp_sum(value);
    if (thread % warp_lanes == 0) parts[thread / warp_lanes * sum_threads + k] = value;
  };
  double total = 0.0;
  for (int tile = row; tile < pixels.tiles; tile += pixels.rows) {
    const HeldGradient<V, held> own(b, pixels, tile, ch);
    leave(p.terms, own.sum());
    for (int t = 0; t < p.terms; ++t)
      if (!sum_rests(p, t)) leave(t, own.product(p.term[t].z, p.pixels, ch, p.term[t].mean[ch]));
    for (int s = 0; s < sums - p.terms - 1; ++s) {
      if (sum_rests(p, p.terms + 1 + s)) continue;
      const PlaneMixSource& source = p.source[s];
      float sum = 0.0f;
      if (source.skip_theta >= 0)
        sum =
            drops ? own.dropped_product(p, source, ch) : own.product(source.x, p.pixels, ch, 0.0f);
      leave(p.terms + 1 + s, sum);
    }
    __syncthreads();
    for (int warp = 0; warp < plane_warps && keeps; ++warp)
      total += parts[warp * sum_threads + thread];
    __syncthreads();
  }
  if (thread < sums) out.rows[(std::int64_t{ch} * pixels.rows + row) * out.pitch + thread] = total;
  if (!arrives_last(arrived.counter + ch, pixels.rows, shared.last)) return;
  finish_channel(b, ch, pixels.rows, sums, out, shared.doubles);
  if (!b.dtheta || !arrives_last(channels_arrived.counter, p.c, shared.last)) return;
  add_to_weights(b, out.total, shared.doubles);
}

}  // namespace

static_assert(sizeof(PlaneMixBackward) + sizeof(ChannelPixels) + sizeof(Partials) <= 4096,
              "kernel parameters");

template <>
std::size_t plane_mix_backward_workspace<Device::cuda>(const PlaneMix& p) {
  return Partials::bytes(p);
}

template <>
void plane_mix_backward<Device::cuda>(const PlaneMixBackward& b, void* workspace, Stream stream) {
  const PlaneMix& p = b.mix;
  if (p.terms + (b.dtheta ? p.sources : 0) == 0 && !p.gates.adds) return;
  PlaneWidth width(p.pixels);
  width.with(b.dy);
  for (int t = 0; t < p.terms; ++t) width.with(p.term[t].z);
  for (int s = 0; s < p.sources && b.dtheta; ++s)
    if (p.source[s].skip_theta >= 0) width.with(p.source[s].x);
  dispatch_channel(width, p.n, p.c, p.pixels, [&]<int V, int held>() {
    const ChannelPixels pixels(p.n, p.c, p.pixels, V, held);
    const Partials partials(p, pixels.rows, workspace);
    launch("plane_mix_backward",
           p.dropout.active() ? reduce_kernel<V, held, true> : reduce_kernel<V, held, false>,
           pixels.shape(p.c, ReduceShared::bytes), stream, b, pixels, partials);
  });
}

}  // namespace drnas::kernels
