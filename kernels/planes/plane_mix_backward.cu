// SPDX-License-Identifier: MIT
// A block holds a tile of one channel of dy in registers while all terms and sources pass by; then
// one warp a channel and term adds up the tiles, and the last block the channels.
#include "kernels/core/cuda_tiles.h"
#include "kernels/planes/plane_device.h"
#include "kernels/planes/plane_mix.h"

namespace drnas::kernels {
namespace {

/// Sums of a channel: of dy (z_t - mean_t), of dy, of dy x_s.
inline int sum_count(const PlaneMix& p) { return p.terms + 1 + p.sources; }
constexpr int most_sums = PlaneMix::max_terms + 1 + PlaneMix::max_sources;
static_assert(most_sums <= plane_threads, "one thread a sum");

/// The workspace.
struct Partials {
  double* rows;       ///< [sums, c, row count]
  double* total;      ///< [terms + sources, c] parts of the mixing weights' gradient
  unsigned* arrived;  ///< blocks of the second kernel that are done
  int row_count;

  Partials(const PlaneMix& p, int row_count, void* memory)
      : rows(static_cast<double*>(memory)),
        total(rows + sum_count(p) * std::int64_t{p.c} * row_count),
        arrived(reinterpret_cast<unsigned*>(total + (p.terms + p.sources) * std::int64_t{p.c})),
        row_count(row_count) {}
  static std::size_t bytes(const PlaneMix& p) {
    return sizeof(double) *
           static_cast<std::size_t>(sum_count(p) * std::int64_t{p.c} * rows_bound(p.n, p.pixels) +
                                    (p.terms + p.sources) * std::int64_t{p.c} + 1);
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

/// Blocks (x: rows, y: channels) leave their sums; thread k of a block keeps sum k.
template <int V, int held>
__global__ void __launch_bounds__(plane_threads, 3)
    reduce_kernel(PlaneMixBackward b, ChannelPixels pixels, Partials out) {
  const PlaneMix& p = b.mix;
  float* parts = static_cast<float*>(shared_memory());  // [sums, warps]
  const int ch = blockIdx.y, row = blockIdx.x, thread = threadIdx.x;
  const int sums = p.terms + 1 + (b.dtheta ? p.sources : 0);
  if (row == 0 && ch == 0 && thread == 0) *out.arrived = 0;
  const auto leave = [&](int k, float value) {
    value = warp_sum(value);
    if (thread % warp_lanes == 0) parts[k * plane_warps + thread / warp_lanes] = value;
  };
  double total = 0.0;
  for (int tile = row; tile < pixels.tiles; tile += pixels.rows) {
    const HeldGradient<V, held> own(b, pixels, tile, ch);
    leave(p.terms, own.sum());
    for (int t = 0; t < p.terms; ++t)
      leave(t, own.product(p.term[t].z, p.pixels, ch, p.term[t].mean[ch]));
    for (int s = 0; s < sums - p.terms - 1; ++s) {
      const bool wanted = p.source[s].skip_theta >= 0;
      leave(p.terms + 1 + s, wanted ? own.product(p.source[s].x, p.pixels, ch, 0.0f) : 0.0f);
    }
    __syncthreads();
    for (int warp = 0; warp < plane_warps && thread < sums; ++warp)
      total += parts[thread * plane_warps + warp];
    __syncthreads();
  }
  if (thread < sums) out.rows[(std::int64_t{thread} * p.c + ch) * out.row_count + row] = total;
}

/// Index of term or source k in theta.
__device__ inline int theta_index(const PlaneMix& p, int k) {
  return k < p.terms ? p.term[k].theta : p.source[k - p.terms].skip_theta;
}

/// Adds the channels up, in order, and to dtheta; equal mixing weights, in order, by the thread
/// that has the first of them. By one block.
__device__ inline void add_to_weights(const PlaneMixBackward& b, const double* total) {
  const PlaneMix& p = b.mix;
  double* values = static_cast<double*>(shared_memory());  // [terms + sources]
  const int count = p.terms + p.sources, thread = threadIdx.x;
  __syncthreads();
  if (thread < count && theta_index(p, thread) >= 0) {
    const volatile double* channels = total + std::int64_t{thread} * p.c;
    double sum = 0.0;
    for (int ch = 0; ch < p.c; ++ch) sum += channels[ch];
    values[thread] = sum;
  }
  __syncthreads();
  if (thread >= count) return;
  const int index = theta_index(p, thread);
  if (index < 0) return;
  for (int k = 0; k < thread; ++k)
    if (theta_index(p, k) == index) return;
  double sum = 0.0;
  for (int k = thread; k < count; ++k)
    if (theta_index(p, k) == index) sum += values[k];
  b.dtheta[index] += sum;
}

/// One warp a channel of a term, or of a source where dtheta is wanted.
__global__ void __launch_bounds__(plane_threads) finish_kernel(PlaneMixBackward b, Partials in) {
  const PlaneMix& p = b.mix;
  const int job = global_warp(), k = job / p.c, ch = job - k * p.c;
  const bool first_lane = threadIdx.x % warp_lanes == 0;
  const auto sum_of = [&](int sum) {
    return sum_of_rows(in.rows + (std::int64_t{sum} * p.c + ch) * in.row_count, in.row_count);
  };
  if (k < p.terms) {
    const PlaneMixTerm& term = p.term[k];
    const double centred = sum_of(k), sum = sum_of(p.terms);
    if (first_lane) {
      in.total[job] = centred * term.inv_std[ch];
      finish_gradient(p.theta[term.theta], term.mean[ch], term.inv_std[ch], sum, centred, b.count(),
                      b.coefficients[k], p.c, ch);
    }
  } else if (b.dtheta && k < p.terms + p.sources) {
    const double sum = sum_of(k + 1);
    if (first_lane) in.total[job] = sum;
  }
  if (!b.dtheta) return;
  if (!last_to_arrive(in.arrived, gridDim.x)) return;
  add_to_weights(b, in.total);
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
  const int jobs = p.terms + (b.dtheta ? p.sources : 0);
  if (jobs == 0) return;
  PlaneWidth width(p.pixels);
  width.with(b.dy);
  for (int t = 0; t < p.terms; ++t) width.with(p.term[t].z);
  for (int s = 0; s < p.sources && b.dtheta; ++s)
    if (p.source[s].skip_theta >= 0) width.with(p.source[s].x);
  dispatch_channel(width, p.n, p.c, p.pixels, [&]<int V, int held>() {
    const ChannelPixels pixels(p.n, p.c, p.pixels, V, held);
    const Partials partials(p, pixels.rows, workspace);
    launch("plane_mix_backward", reduce_kernel<V, held>,
           pixels.shape(p.c, block_sums_bytes(sum_count(p))), stream, b, pixels, partials);
    const LaunchShape shape{blocks_for(std::int64_t{jobs} * p.c, plane_warps), plane_threads,
                            sizeof(double) * sum_count(p)};
    launch("plane_mix_backward", finish_kernel, shape, stream, b, partials);
  });
}

}  // namespace drnas::kernels
