// SPDX-License-Identifier: MIT
#include "tests/simt/metered_kernels.h"

#include <vector>

#include "kernels/core/cuda_vector.h"
#include "tests/cuda/device_array.h"

namespace drnas::test {
namespace {

using kernels::launch;
using kernels::shared_memory;
constexpr unsigned warp = kernels::warp_lanes;

__global__ void strided_copy_kernel(const float* in, float* out, int stride) {
  const std::int64_t i = kernels::global_thread();
  out[i] = in[i * stride];
}

__global__ void vector_copy_kernel(const float* in, float* out) {
  float values[4];
  kernels::load_vector(in + 4 * threadIdx.x, values);
  kernels::store_vector(out + 4 * threadIdx.x, values);
}

__global__ void uniform_read_kernel(const float* in, float* out) { out[threadIdx.x] = in[3]; }

__global__ void twice_kernel(const float* in, float* out) {
  const float first = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = first + in[(threadIdx.x + 1) % blockDim.x];
}

__global__ void branch_kernel(const float* in, float* out) {
  float value = 0.0f;
  if (threadIdx.x % 2 == 0)
    value = in[threadIdx.x];
  else
    value = 2.0f * in[threadIdx.x / 2];
  __syncwarp();
  out[threadIdx.x] = value + in[threadIdx.x];
}

__global__ void bank_kernel(float* out, int stride) {
  auto* const words = static_cast<float*>(shared_memory());
  const int t = static_cast<int>(threadIdx.x);
  words[t * stride] = 1.0f;
  __syncthreads();
  out[t] = words[t * stride];
}

__global__ void wide_bank_kernel(float* out, int stride) {
  auto* const words = static_cast<float*>(shared_memory());
  const int t = static_cast<int>(threadIdx.x);
  float values[4] = {1, 2, 3, 4};
  kernels::store_vector(words + 4 * t * stride, values);
  __syncthreads();
  kernels::load_vector(words + 4 * t * stride, values);
  out[t] = values[3];
}

std::vector<float> ones(int count) {
  return std::vector<float>(static_cast<std::size_t>(count), 1.0f);
}

}  // namespace

void strided_copy(int stride, int blocks, int threads) {
  const int count = blocks * threads;
  const DeviceArray<float> in(ones(count * stride)), out(count);
  launch("strided_copy", strided_copy_kernel, {blocks, static_cast<unsigned>(threads)}, nullptr, in,
         out, stride);
}

void vector_copy(int threads) {
  const DeviceArray<float> in(ones(4 * threads)), out(4 * threads);
  launch("vector_copy", vector_copy_kernel, {1, static_cast<unsigned>(threads)}, nullptr, in, out);
}

void uniform_read(int threads) {
  const DeviceArray<float> in(ones(8)), out(threads);
  launch("uniform_read", uniform_read_kernel, {1, static_cast<unsigned>(threads)}, nullptr, in,
         out);
}

void read_twice(int threads) {
  const DeviceArray<float> in(ones(threads)), out(threads);
  launch("twice", twice_kernel, {1, static_cast<unsigned>(threads)}, nullptr, in, out);
}

void read_in_branches(int threads) {
  const DeviceArray<float> in(ones(threads)), out(threads);
  launch("branch", branch_kernel, {1, static_cast<unsigned>(threads)}, nullptr, in, out);
}

void read_banks(int stride) {
  const DeviceArray<float> out(warp);
  launch("bank", bank_kernel, {1, warp, warp * sizeof(float) * static_cast<unsigned>(stride)},
         nullptr, out, stride);
}

void read_wide_banks(int stride) {
  const DeviceArray<float> out(warp);
  launch("wide_bank", wide_bank_kernel,
         {1, warp, 4 * warp * sizeof(float) * static_cast<unsigned>(stride)}, nullptr, out, stride);
}

}  // namespace drnas::test
