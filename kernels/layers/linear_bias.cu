// SPDX-License-Identifier: MIT
#include "kernels/layers/linear_bias.h"

#include <algorithm>

#include "kernels/core/launch.h"

namespace drnas::kernels {
namespace {

constexpr unsigned threads = 128, block_warps = threads / warp_lanes;
constexpr int max_rows = 65535;  // second extent of a grid

/// A block's threads lie along `out`; its rows are blockIdx.y, blockIdx.y + gridDim.y, ...
__global__ void __launch_bounds__(threads) add_bias_kernel(Linear p, const float* b, float* y) {
  const std::int64_t o = global_thread();
  if (o >= p.out) return;
  const float bias = b[o];
  for (std::int64_t i = blockIdx.y; i < p.n; i += gridDim.y) y[i * p.out + o] += bias;
}

/// A warp an output: lane l adds rows l, l + 32, ..., then the lanes' sums are added in pairs.
__global__ void __launch_bounds__(threads)
    bias_gradient_kernel(Linear p, const float* dy, float* db) {
  const std::int64_t o = global_thread() / warp_lanes;
  if (o >= p.out) return;  // whole warps
  const int lane = static_cast<int>(threadIdx.x % warp_lanes);
  float sum = 0.0f;
  for (std::int64_t i = lane; i < p.n; i += warp_lanes) sum += dy[i * p.out + o];
  for (int distance = warp_lanes / 2; distance > 0; distance /= 2)
    sum += __shfl_xor_sync(full_warp, sum, distance);
  if (lane == 0) db[o] = sum;
}

}  // namespace

void linear_add_bias(const Linear& p, const float* b, float* y, Stream stream) {
  const LaunchShape shape{.blocks = blocks_for(p.out, threads),
                          .threads = threads,
                          .rows = static_cast<unsigned>(std::clamp(p.n, 0, max_rows))};
  launch("linear: add bias", add_bias_kernel, shape, stream, p, b, y);
}

void linear_bias_gradient(const Linear& p, const float* dy, float* db, Stream stream) {
  launch("linear: bias gradient", bias_gradient_kernel, {blocks_for(p.out, block_warps), threads},
         stream, p, dy, db);
}

}  // namespace drnas::kernels
