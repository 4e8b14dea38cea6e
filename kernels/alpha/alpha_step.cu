// SPDX-License-Identifier: MIT
#include "kernels/alpha/alpha_step.h"
#include "kernels/alpha/alpha_step_entry.h"
#include "kernels/core/warp_reduce.h"

namespace drnas::kernels {
namespace {

constexpr unsigned threads = 256, warps = threads / warp_lanes;

struct AlphaShared {
  double squares[warps];
  AdamCorrection correction;
  std::int64_t step;
};

/// One block; a thread keeps its entries from the gradient to Adam. The last thread, which has the
/// fewest, takes the bias corrections meanwhile.
__global__ void __launch_bounds__(threads) alpha_kernel(AlphaStep p) {
  auto* shared = static_cast<AlphaShared*>(shared_memory());  // [1]
  const int count = p.edges * p.ops, first = static_cast<int>(threadIdx.x);
  if (threadIdx.x == threads - 1) {
    shared->step = *p.steps + 1;
    shared->correction = AdamCorrection(p.rule, shared->step);
  }
  double squares = 0.0;
  for (int i = first; i < count; i += threads) {
    const int edge = i / p.ops, op = i % p.ops;
    if (p.dtheta) p.gradient[i] = alpha_gradient(draw_gradient(p), edge, op);
    if (p.kl != 0) add_kl_gradient(p, edge, op);
    squares += p.gradient[i] * p.gradient[i];
  }
  squares = warp_sum(squares);
  if (threadIdx.x % warp_lanes == 0) shared->squares[threadIdx.x / warp_lanes] = squares;
  __syncthreads();
  double total = 0.0;
  for (unsigned w = 0; w < warps; ++w) total += shared->squares[w];
  if (threadIdx.x == 0) *p.squared_norm = total;
  if (!std::isfinite(total)) return;
  const double clip = clip_factor(total, p.rule.max_norm);
  for (int i = first; i < count; i += threads) adam_entry(p, shared->correction, clip, i);
  if (threadIdx.x == 0) *p.steps = shared->step;
}

}  // namespace

template <>
void alpha_step<Device::cuda>(const AlphaStep& p, Stream stream) {
  check_rows("alpha_step", p.edges, p.ops);
  launch("alpha_step", alpha_kernel, {1, threads, sizeof(AlphaShared)}, stream, p);
}

}  // namespace drnas::kernels
