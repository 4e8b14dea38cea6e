// SPDX-License-Identifier: MIT
#include "kernels/train/optimizer.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "kernels/core/cuda_vector.h"
#include "kernels/core/warp_reduce.h"
#include "kernels/train/optimizer_math.h"

namespace drnas::kernels {
namespace {

constexpr unsigned threads = 256;
/// Quads that a thread of squared_norm adds in float before they meet a double, and its largest
/// grid; larger buffers take several rounds.
constexpr int norm_quads = 4;
constexpr std::int64_t most_norm_blocks = 512;

/// Buffers are read as quads of four values, which need 16-byte alignment, and single values after
/// them: at most three, or all where a buffer is not aligned.
std::int64_t quads_of(std::int64_t count, std::initializer_list<const void*> buffers) {
  for (const void* buffer : buffers)
    if (reinterpret_cast<std::uintptr_t>(buffer) % 16 != 0) return 0;
  return count / 4;
}

std::int64_t norm_blocks(std::int64_t count) {
  return std::min(blocks_for(count, std::int64_t{threads} * norm_quads * 4), most_norm_blocks);
}

/// The sum over the block, in thread 0.
__device__ double block_sum(double value) {
  auto* sums = static_cast<double*>(shared_memory());  // [threads / warp_lanes]
  value = warp_sum(value);
  if (threadIdx.x % warp_lanes == 0) sums[threadIdx.x / warp_lanes] = value;
  __syncthreads();
  if (threadIdx.x != 0) return 0;
  for (unsigned w = 1; w < threads / warp_lanes; ++w) value += sums[w];
  return value;
}

/// Squares of one block's share of the values.
__global__ void __launch_bounds__(threads)
    squares_kernel(const float* values, std::int64_t count, std::int64_t quads, double* partial) {
  const auto* quad = reinterpret_cast<const float4*>(values);
  const std::int64_t all_threads = std::int64_t{gridDim.x} * threads;
  double sum = 0;
  for (std::int64_t first = global_thread(); first < quads; first += norm_quads * all_threads) {
    float4 v[norm_quads];
    for (int k = 0; k < norm_quads; ++k)
      v[k] = first + k * all_threads < quads ? load_packed(quad + first + k * all_threads)
                                             : float4{0, 0, 0, 0};
    float squares = 0;
    for (int k = 0; k < norm_quads; ++k)
      squares += v[k].x * v[k].x + v[k].y * v[k].y + v[k].z * v[k].z + v[k].w * v[k].w;
    sum += squares;
  }
  for (std::int64_t i = 4 * quads + global_thread(); i < count; i += all_threads)
    sum += values[i] * values[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

/// One block: adds the partial sums and the squares of the float64 values.
__global__ void __launch_bounds__(threads)
    total_kernel(const double* partial, std::int64_t blocks, const double* extra,
                 std::int64_t extra_count, double* total) {
  double sum = 0;
  for (std::int64_t b = threadIdx.x; b < blocks; b += threads) sum += partial[b];
  for (std::int64_t i = threadIdx.x; i < extra_count; i += threads) sum += extra[i] * extra[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *total = sum;
}

/// Item `item` of a buffer: a quad, or a single value after the quads with zeros.
__device__ float4 load_item(const float* buffer, std::int64_t quads, std::int64_t item) {
  if (item < quads) return load_packed(reinterpret_cast<const float4*>(buffer) + item);
  return {buffer[3 * quads + item], 0, 0, 0};
}

__device__ void store_item(float* buffer, std::int64_t quads, std::int64_t item, float4 value) {
  if (item < quads)
    store_packed(reinterpret_cast<float4*>(buffer) + item, value);
  else
    buffer[3 * quads + item] = value.x;
}

/// The same item rounded to bfloat16.
__device__ void store_item(bfloat16* buffer, std::int64_t quads, std::int64_t item, float4 value) {
  if (item < quads)
    store_vector(buffer + 4 * item, {value.x, value.y, value.z, value.w});
  else
    buffer[3 * quads + item] = bfloat16(value.x);
}

struct SgdFactors {
  float clip, learning_rate;
};

__device__ void sgd_value(const SgdStep& p, SgdFactors factor, float gradient, float& weight,
                          float& velocity) {
  const float g = factor.clip * gradient + p.weight_decay * weight;
  velocity = p.momentum * velocity + g;
  weight -= factor.learning_rate * (p.nesterov ? g + p.momentum * velocity : velocity);
}

/// One thread an item; loads are under way while the first thread takes the norm's root.
__global__ void __launch_bounds__(threads)
    sgd_kernel(SgdStep p, std::int64_t quads, std::int64_t items) {
  auto* shared = static_cast<SgdFactors*>(shared_memory());  // [1]
  const std::int64_t item = global_thread();
  const bool inside = item < items;
  float4 weight{}, velocity{}, gradient{};
  if (inside) {
    weight = load_item(p.weights, quads, item);
    velocity = load_item(p.velocity, quads, item);
    gradient = load_item(p.gradient, quads, item);
  }
  const double squared_norm = *p.squared_norm;
  if (threadIdx.x == 0)
    *shared = {static_cast<float>(clip_factor(squared_norm, p.max_norm)),
               static_cast<float>(*p.learning_rate)};
  __syncthreads();
  if (!inside || !std::isfinite(squared_norm)) return;
  const SgdFactors factor = *shared;
  sgd_value(p, factor, gradient.x, weight.x, velocity.x);
  sgd_value(p, factor, gradient.y, weight.y, velocity.y);
  sgd_value(p, factor, gradient.z, weight.z, velocity.z);
  sgd_value(p, factor, gradient.w, weight.w, velocity.w);
  store_item(p.velocity, quads, item, velocity);
  store_item(p.weights, quads, item, weight);
  if (p.rounded) store_item(p.rounded, quads, item, weight);
}

/// One thread a weight.
__global__ void __launch_bounds__(threads) shift_kernel(WeightShift p) {
  const std::int64_t i = global_thread();
  if (i >= p.count) return;
  const float weight = shifted_weight(p, i);
  p.weights[i] = weight;
  if (p.rounded) p.rounded[i] = bfloat16(weight);
}

}  // namespace

template <>
std::size_t squared_norm_workspace<Device::cuda>(const SquaredNorm& p) {
  return static_cast<std::size_t>(norm_blocks(p.count)) * sizeof(double);
}

template <>
void squared_norm<Device::cuda>(const SquaredNorm& p, void* workspace, Stream stream) {
  auto* partial = static_cast<double*>(workspace);
  const std::int64_t blocks = norm_blocks(p.count);
  constexpr std::size_t shared_bytes = threads / warp_lanes * sizeof(double);
  launch("squared_norm", squares_kernel, {blocks, threads, shared_bytes}, stream, p.values, p.count,
         quads_of(p.count, {p.values}), partial);
  launch("squared_norm", total_kernel, {1, threads, shared_bytes}, stream, partial, blocks, p.extra,
         p.extra ? p.extra_count : 0, p.total);
}

template <>
void sgd_step<Device::cuda>(const SgdStep& p, Stream stream) {
  const std::int64_t quads = quads_of(p.count, {p.weights, p.velocity, p.gradient, p.rounded});
  const std::int64_t items = p.count - 3 * quads;
  launch("sgd_step", sgd_kernel, {blocks_for(items, threads), threads, sizeof(SgdFactors)}, stream,
         p, quads, items);
}

template <>
void shift_weights<Device::cuda>(const WeightShift& p, Stream stream) {
  launch("shift_weights", shift_kernel, {blocks_for(p.count, threads), threads}, stream, p);
}

}  // namespace drnas::kernels
