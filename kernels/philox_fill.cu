// SPDX-License-Identifier: MIT
#include <cuda_runtime.h>

#include <string>

#include "kernels/philox_fill.h"

namespace drnas::kernels {
namespace {

constexpr int threads = 256;

__global__ void uniform_kernel(float* out, std::int64_t n, float lo, float hi, RandomStream stream,
                               std::uint32_t step) {
  const std::int64_t block = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (4 * block < n) fill_uniform_block(out, n, block, lo, hi, stream, step);
}

__global__ void normal_kernel(float* out, std::int64_t n, float mean, float deviation,
                              RandomStream stream, std::uint32_t step) {
  const std::int64_t block = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (2 * block < n) fill_normal_block(out, n, block, mean, deviation, stream, step);
}

/// Thread blocks for n numbers, `per_thread` each.
unsigned grid_size(std::int64_t n, int per_thread) {
  if (n < 0 || n > max_fill)
    throw Error("random fill: length " + std::to_string(n) + " is not between 0 and " +
                std::to_string(max_fill));
  const std::int64_t share = static_cast<std::int64_t>(threads) * per_thread;
  return static_cast<unsigned>((n + share - 1) / share);
}

void check_launch(const char* name) {
  const cudaError_t status = cudaGetLastError();
  if (status != cudaSuccess)
    throw Error(std::string(name) + ": launch failed: " + cudaGetErrorString(status));
}

}  // namespace

template <>
void fill_uniform<Device::cuda>(float* out, std::int64_t n, float lo, float hi, std::uint64_t seed,
                                Purpose purpose, std::uint32_t step, Stream stream) {
  const unsigned grid = grid_size(n, 4);
  if (grid == 0) return;
  uniform_kernel<<<grid, threads, 0, static_cast<cudaStream_t>(stream)>>>(
      out, n, lo, hi, RandomStream(seed, purpose), step);
  check_launch("fill_uniform");
}

template <>
void fill_normal<Device::cuda>(float* out, std::int64_t n, float mean, float deviation,
                               std::uint64_t seed, Purpose purpose, std::uint32_t step,
                               Stream stream) {
  const unsigned grid = grid_size(n, 2);
  if (grid == 0) return;
  normal_kernel<<<grid, threads, 0, static_cast<cudaStream_t>(stream)>>>(
      out, n, mean, deviation, RandomStream(seed, purpose), step);
  check_launch("fill_normal");
}

}  // namespace drnas::kernels
