// SPDX-License-Identifier: MIT
#include "kernels/train/cross_entropy.h"

#include <cmath>

#include "kernels/core/warp_reduce.h"

namespace drnas::kernels {
namespace {

constexpr unsigned forward_warps = warp_lanes;  // whose sums one warp can add
constexpr unsigned backward_threads = 128;

/// log of the sum of exp(logit) of one row, by one warp.
template <class T>
__device__ double log_sum_exp(const T* row, int classes, int lane) {
  float best = -INFINITY;
  for (int k = lane; k < classes; k += warp_lanes) best = fmaxf(best, static_cast<float>(row[k]));
  const double largest = warp_max(best);
  double sum = 0;
  for (int k = lane; k < classes; k += warp_lanes)
    sum += std::exp(static_cast<float>(row[k]) - largest);
  return largest + std::log(warp_sum(sum));
}

/// Adds loss and hits of one row, by one warp; every lane keeps the same sums.
template <class T>
__device__ void add_row(const CrossEntropy& p, const T* row, int label, int lane,
                        CrossEntropyResult& sum) {
  const float wanted = static_cast<float>(row[label]);
  double logits = 0;
  int rank = 0;
  for (int k = lane; k < p.classes; k += warp_lanes) {
    const float logit = static_cast<float>(row[k]);
    logits += logit;
    rank += ranks_before(logit, k, wanted, label);
  }
  const double mean_logit = warp_sum(logits) / p.classes;
  rank = warp_sum(rank);
  sum.loss +=
      log_sum_exp(row, p.classes, lane) - (1.0 - p.smoothing) * wanted - p.smoothing * mean_logit;
  sum.top1 += rank < 1;
  sum.top5 += rank < 5;
}

/// One block; a warp takes every 32nd row, then the first warp adds the warps' sums.
template <class T>
__global__ void __launch_bounds__(forward_warps* warp_lanes, 1)
    forward_kernel(CrossEntropy p, const T* logits, const std::int32_t* labels,
                   CrossEntropyResult* result, float* loss) {
  auto* sums = static_cast<CrossEntropyResult*>(shared_memory());  // [forward_warps]
  const int lane = threadIdx.x % warp_lanes, warp = threadIdx.x / warp_lanes;
  CrossEntropyResult sum{};
  for (int i = warp; i < p.n; i += forward_warps)
    add_row(p, logits + std::int64_t{i} * p.classes, labels[i], lane, sum);
  if (lane == 0) sums[warp] = sum;
  __syncthreads();
  if (warp != 0) return;
  const double mean = warp_sum(sums[lane].loss) / p.n;
  const std::int32_t top1 = warp_sum(sums[lane].top1), top5 = warp_sum(sums[lane].top5);
  if (lane != 0) return;
  *result = {mean, top1, top5};
  *loss = static_cast<float>(mean);
}

/// One warp a row.
template <class T>
__global__ void __launch_bounds__(backward_threads)
    backward_kernel(CrossEntropy p, const T* logits, const std::int32_t* labels, const float* scale,
                    T* dlogits) {
  const std::int64_t i = global_thread() / warp_lanes;
  if (i >= p.n) return;
  const int lane = threadIdx.x % warp_lanes, label = labels[i];
  const T* row = logits + i * p.classes;
  const double factor = static_cast<double>(*scale) / p.n;
  const double other_target = static_cast<double>(p.smoothing) / p.classes;
  const double log_sum = log_sum_exp(row, p.classes, lane);
  for (int k = lane; k < p.classes; k += warp_lanes) {
    const double target = (k == label ? 1.0 - p.smoothing : 0.0) + other_target;
    const double share = std::exp(static_cast<float>(row[k]) - log_sum);
    dlogits[i * p.classes + k] = static_cast<T>(static_cast<float>(factor * (share - target)));
  }
}

}  // namespace

template <>
void cross_entropy_forward<Device::cuda>(const CrossEntropy& p, const float* logits,
                                         const std::int32_t* labels, CrossEntropyResult* result,
                                         float* loss, Stream stream) {
  const LaunchShape shape{1, forward_warps * warp_lanes,
                          forward_warps * sizeof(CrossEntropyResult)};
  launch("cross_entropy_forward", forward_kernel<float>, shape, stream, p, logits, labels, result,
         loss);
}

template <>
void cross_entropy_backward<Device::cuda>(const CrossEntropy& p, const float* logits,
                                          const std::int32_t* labels, const float* scale,
                                          float* dlogits, Stream stream) {
  const LaunchShape shape{blocks_for(p.n, backward_threads / warp_lanes), backward_threads};
  launch("cross_entropy_backward", backward_kernel<float>, shape, stream, p, logits, labels, scale,
         dlogits);
}

}  // namespace drnas::kernels
