// SPDX-License-Identifier: MIT
// A block adds up one plane of one source; the last block of a source adds up the planes in order.
#include "kernels/core/arrival.h"
#include "kernels/core/warp_reduce.h"
#include "kernels/planes/plane_device.h"
#include "kernels/planes/plane_mix.h"

namespace drnas::kernels {
namespace {

using Counters = ArrivalCounters<PlaneMix::max_sources>;
__device__ Counters counters;

/// Grid (planes of all images' bypassed channels, sources); `partial` [sources, planes].
__global__ void __launch_bounds__(plane_threads)
    bypass_kernel(PlaneMixBackward b, double* partial) {
  const PlaneMix& p = b.mix;
  const int s = static_cast<int>(blockIdx.y), theta = p.source[s].bypass_theta,
            bypassed = p.channels - p.c, image = static_cast<int>(blockIdx.x) / bypassed,
            channel = static_cast<int>(blockIdx.x) - image * bypassed, thread = threadIdx.x;
  if (theta < 0) return;
  float* warps = static_cast<float*>(shared_memory());  // [warps], then one counter
  auto* last = reinterpret_cast<unsigned*>(warps + plane_warps);
  const int part = 1 + channel / p.c, ch = channel % p.c;
  const float* dy = plane_of(b.dy, p.pixels, image, std::int64_t{ch} * p.parts() + part);
  const float* x = plane_of(p.source[s].bypass, p.pixels, image, channel);
  float sum = 0.0f;
  for (std::int64_t i = thread; i < p.pixels; i += plane_threads) sum = fmaf(dy[i], x[i], sum);
  sum = warp_sum(sum);
  if (thread % warp_lanes == 0) warps[thread / warp_lanes] = sum;
  __syncthreads();
  double* of_source = partial + std::int64_t{s} * gridDim.x;
  if (thread == 0) {
    double of_plane = 0.0;
    for (int warp = 0; warp < plane_warps; ++warp) of_plane += warps[warp];
    of_source[blockIdx.x] = of_plane;
  }
  if (!arrives_last(counters.counter + s, gridDim.x, last)) return;
  if (thread >= static_cast<int>(warp_lanes)) return;
  const double total = sum_of_rows(of_source, static_cast<int>(gridDim.x));
  if (thread == 0) b.dtheta[theta] += total;
}

}  // namespace

template <>
std::size_t plane_bypass_workspace<Device::cuda>(const PlaneMix& p) {
  return sizeof(double) * static_cast<std::size_t>(p.n) *
         static_cast<std::size_t>((p.channels - p.c) * p.sources);
}

template <>
void plane_bypass_backward<Device::cuda>(const PlaneMixBackward& b, void* workspace,
                                         Stream stream) {
  const PlaneMix& p = b.mix;
  launch("plane_bypass_backward", bypass_kernel,
         {std::int64_t{p.n} * (p.channels - p.c), plane_threads,
          plane_warps * sizeof(float) + sizeof(unsigned), static_cast<unsigned>(p.sources)},
         stream, b, static_cast<double*>(workspace));
}

}  // namespace drnas::kernels
