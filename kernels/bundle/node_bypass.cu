// SPDX-License-Identifier: MIT
// A block adds up some pixels of one source in float32, pixel by pixel in float64; the last block
// of a source adds up what all have left.
#include "kernels/bundle/node_mix_device.h"
#include "kernels/core/arrival.h"
#include "kernels/core/warp_reduce.h"

namespace drnas::kernels {
namespace {

using namespace node_mix_device;

constexpr int most_blocks = 128, pixels_a_thread = 8,
              warps = threads / static_cast<int>(warp_lanes);

using Counters = ArrivalCounters<NodeMix::max_sources>;
__device__ Counters counters;

template <class T>
std::int64_t block_count(const NodeMixOf<T>& p) {
  const std::int64_t pixels = std::int64_t{p.n} * p.h * p.w;
  return std::min<std::int64_t>(most_blocks, blocks_for(pixels, threads * pixels_a_thread));
}

/// sum over a pixel's bypassed channels of dy x.
template <class T>
__device__ float pixel_product(const NodeMixBackwardOf<T>& b, const PartView<const T>& x,
                               std::int64_t pixel) {
  const NodeMixOf<T>& p = b.mix;
  const T *dy = b.dy + pixel * p.channels, *from = x.base + pixel * x.stride;
  float sum = 0.0f;
  for (int part = 1; part < p.parts(); ++part)
    for (int ch = 0; ch < p.c; ++ch)
      sum += static_cast<float>(dy[ch * p.parts() + part]) *
             static_cast<float>(from[(part - 1) * p.c + ch]);
  return sum;
}

/// Grid (blocks, sources); `partial` [sources, blocks].
template <class T>
__global__ void __launch_bounds__(threads)
    bypass_kernel(NodeMixBackwardOf<T> b, std::int64_t pixels, double* partial) {
  const NodeMixOf<T>& p = b.mix;
  const int s = static_cast<int>(blockIdx.y), theta = p.source[s].bypass_theta,
            lane = static_cast<int>(threadIdx.x % warp_lanes);
  if (theta < 0) return;
  double* of_warps = static_cast<double*>(shared_memory());  // [warps], then one counter
  auto* last = reinterpret_cast<unsigned*>(of_warps + warps);
  const PartView<const T> x = source_view(p, s, 1);
  double own = 0.0;
  for (std::int64_t i = global_thread(); i < pixels; i += std::int64_t{gridDim.x} * threads)
    own += pixel_product(b, x, i);
  own = warp_sum(own);
  if (lane == 0) of_warps[threadIdx.x / warp_lanes] = own;
  __syncthreads();
  double* of_source = partial + std::int64_t{s} * gridDim.x;
  if (threadIdx.x == 0) {
    double sum = 0.0;
    for (int warp = 0; warp < warps; ++warp) sum += of_warps[warp];
    of_source[blockIdx.x] = sum;
  }
  if (!arrives_last(counters.counter + s, gridDim.x, last)) return;
  if (threadIdx.x >= warp_lanes) return;
  double total = 0.0;
  for (unsigned i = lane; i < gridDim.x; i += warp_lanes) total += of_source[i];
  total = warp_sum(total);
  if (lane == 0) b.dtheta[theta] += total;
}

template <class T>
void backward(const NodeMixBackwardOf<T>& b, void* workspace, Stream stream) {
  const NodeMixOf<T>& p = b.mix;
  launch("node_bypass_backward", bypass_kernel<T>,
         {block_count(p), threads, warps * sizeof(double) + sizeof(unsigned),
          static_cast<unsigned>(p.sources)},
         stream, b, std::int64_t{p.n} * p.h * p.w, static_cast<double*>(workspace));
}

template <class T>
std::size_t workspace_bytes(const NodeMixOf<T>& p) {
  return sizeof(double) * static_cast<std::size_t>(block_count(p) * p.sources);
}

}  // namespace

template <>
std::size_t node_bypass_workspace<Device::cuda>(const NodeMix& p) {
  return workspace_bytes(p);
}
template <>
void node_bypass_backward<Device::cuda>(const NodeMixBackward& b, void* workspace, Stream stream) {
  backward(b, workspace, stream);
}
template <>
std::size_t node_bypass_workspace<Device::cuda>(const NodeMixOf<bfloat16>& p) {
  return workspace_bytes(p);
}
template <>
void node_bypass_backward<Device::cuda>(const NodeMixBackwardOf<bfloat16>& b, void* workspace,
                                        Stream stream) {
  backward(b, workspace, stream);
}

}  // namespace drnas::kernels
