// SPDX-License-Identifier: MIT
#include "tests/cuda/mma_kernels.h"

#include "kernels/core/async_copy.h"
#include "kernels/core/mma.h"

namespace drnas::test {
namespace {

using kernels::launch;
using kernels::shared_memory;
using kernels::warp_lanes;

/// d and c, row-major.
__device__ float* accumulator(float* d, int lane, int i) {
  return d + (lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2;
}

__global__ void bf16_kernel(const bfloat16* a, const bfloat16* b, const float* c, float* d) {
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  unsigned left[4], right[2];
  for (int i = 0; i < 4; ++i) {
    const bfloat16* const pair = a + (g + i % 2 * 8) * 16 + 2 * t + i / 2 * 8;
    left[i] = kernels::pack(pair[0], pair[1]);
  }
  for (int i = 0; i < 2; ++i) {
    const bfloat16* const first = b + (2 * t + i * 8) * 8 + g;
    right[i] = kernels::pack(first[0], first[8]);
  }
  float sum[4];
  for (int i = 0; i < 4; ++i) sum[i] = *accumulator(const_cast<float*>(c), lane, i);
  kernels::multiply_add_bf16(sum, left, right);
  for (int i = 0; i < 4; ++i) *accumulator(d, lane, i) = sum[i];
}

__global__ void tf32_kernel(const float* a, const float* b, const float* c, float* d) {
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  unsigned left[4], right[2];
  for (int i = 0; i < 4; ++i) left[i] = kernels::to_tf32(a[(g + i % 2 * 8) * 8 + t + i / 2 * 4]);
  for (int i = 0; i < 2; ++i) right[i] = kernels::to_tf32(b[(t + i * 4) * 8 + g]);
  float sum[4];
  for (int i = 0; i < 4; ++i) sum[i] = *accumulator(const_cast<float*>(c), lane, i);
  kernels::multiply_add_tf32(sum, left, right);
  for (int i = 0; i < 4; ++i) *accumulator(d, lane, i) = sum[i];
}

template <int Matrices, bool Transposed>
__global__ void matrices_kernel(const std::uint16_t* from, unsigned* held) {
  auto* const tile = static_cast<std::uint16_t*>(shared_memory());
  for (unsigned i = threadIdx.x; i < Matrices * 64; i += warp_lanes) tile[i] = from[i];
  __syncwarp();
  unsigned to[Matrices];
  // Only the first 8 * Matrices lanes name rows.
  kernels::load_matrices<Matrices, Transposed>(to, tile + threadIdx.x * 8);
  for (int i = 0; i < Matrices; ++i) held[i * warp_lanes + threadIdx.x] = to[i];
}

__global__ void round_kernel(const float* in, float* out) {
  const std::int64_t i = kernels::global_thread();
  const unsigned bits = kernels::to_tf32(in[i]);
  memcpy(out + i, &bits, sizeof bits);
}

/// Each lane takes what the lane before it copied; the last group holds the first one's reverse.
template <int Bytes>
__global__ void copy_kernel(const unsigned char* in, int present, unsigned char* out) {
  auto* const tile = static_cast<unsigned char*>(shared_memory());
  const int lane = static_cast<int>(threadIdx.x), other = (lane + 1) % 32, back = 31 - lane;
  unsigned char* const second = tile + warp_lanes * Bytes;
  kernels::copy_async<Bytes>(tile + lane * Bytes, in + lane * Bytes, lane < present);
  kernels::commit_copies();
  kernels::copy_async<Bytes>(second + lane * Bytes, in + back * Bytes, back < present);
  kernels::commit_copies();
  kernels::wait_for_copies<1>();
  __syncwarp();
  for (int i = 0; i < Bytes; ++i) out[lane * Bytes + i] = tile[other * Bytes + i];
  kernels::wait_for_copies<0>();
  __syncwarp();
  for (int i = 0; i < Bytes; ++i) out[(32 + lane) * Bytes + i] = second[other * Bytes + i];
}

}  // namespace

void multiply_bf16(const bfloat16* a, const bfloat16* b, const float* c, float* d) {
  launch("multiply_bf16", bf16_kernel, {1, warp_lanes}, nullptr, a, b, c, d);
}

void multiply_tf32(const float* a, const float* b, const float* c, float* d) {
  launch("multiply_tf32", tf32_kernel, {1, warp_lanes}, nullptr, a, b, c, d);
}

void load_matrices(const std::uint16_t* from, int matrices, bool transposed, unsigned* held) {
  const auto kernel =
      matrices == 1   ? transposed ? matrices_kernel<1, true> : matrices_kernel<1, false>
        : matrices == 2 ? transposed ? matrices_kernel<2, true> : matrices_kernel<2, false>
        : transposed ? matrices_kernel<4, true>
                      : matrices_kernel<4, false>;
  // As much as all lanes name, though not all are read.
  launch("load_matrices", kernel, {1, warp_lanes, warp_lanes * 16}, nullptr, from, held);
}

void round_tf32(const float* in, float* out, int count) {
  launch("round_tf32", round_kernel, {count / warp_lanes, warp_lanes}, nullptr, in, out);
}

void copy_through_shared(const void* in, int bytes, int present, void* out) {
  const auto kernel = bytes == 4 ? copy_kernel<4> : bytes == 8 ? copy_kernel<8> : copy_kernel<16>;
  launch("copy_through_shared", kernel,
         {1, warp_lanes, 2 * warp_lanes * static_cast<std::size_t>(bytes)}, nullptr,
         static_cast<const unsigned char*>(in), present, static_cast<unsigned char*>(out));
}

}  // namespace drnas::test
