// SPDX-License-Identifier: MIT
#include <string>

#include "kernels/core/launch.h"
#include "kernels/random/philox_fill.h"

namespace drnas::kernels {
namespace {

constexpr unsigned threads = 256;

__global__ void uniform_kernel(float* out, std::int64_t n, float lo, float hi, RandomStream stream,
                               std::uint32_t step) {
  const std::int64_t block = global_thread();
  if (4 * block < n) fill_uniform_block(out, n, block, lo, hi, stream, step);
}

__global__ void normal_kernel(float* out, std::int64_t n, float mean, float deviation,
                              RandomStream stream, std::uint32_t step) {
  const std::int64_t block = global_thread();
  if (2 * block < n) fill_normal_block(out, n, block, mean, deviation, stream, step);
}

/// Thread blocks for n numbers, `per_thread` each.
std::int64_t grid_size(std::int64_t n, int per_thread) {
  if (n < 0 || n > max_fill)
    throw Error("random fill: length " + std::to_string(n) + " is not between 0 and " +
                std::to_string(max_fill));
  return blocks_for(n, std::int64_t{threads} * per_thread);
}

}  // namespace

template <>
void fill_uniform<Device::cuda>(float* out, std::int64_t n, float lo, float hi, std::uint64_t seed,
                                Purpose purpose, std::uint32_t step, Stream stream) {
  launch("fill_uniform", uniform_kernel, {grid_size(n, 4), threads}, stream, out, n, lo, hi,
         RandomStream(seed, purpose), step);
}

template <>
void fill_normal<Device::cuda>(float* out, std::int64_t n, float mean, float deviation,
                               std::uint64_t seed, Purpose purpose, std::uint32_t step,
                               Stream stream) {
  launch("fill_normal", normal_kernel, {grid_size(n, 2), threads}, stream, out, n, mean, deviation,
         RandomStream(seed, purpose), step);
}

}  // namespace drnas::kernels
