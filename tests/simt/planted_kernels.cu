// SPDX-License-Identifier: MIT
#include "tests/simt/planted_kernels.h"

#include "kernels/core/async_copy.h"
#include "kernels/core/cuda_vector.h"

namespace drnas::test {
namespace {

using kernels::launch;
using kernels::shared_memory;

__device__ float* tile() { return static_cast<float*>(shared_memory()); }

__global__ void exchange_kernel(Planted planted, float* out) {
  const unsigned t = threadIdx.x, other = (t + 40) % blockDim.x;
  tile()[t] = static_cast<float>(t);
  if (planted != Planted::no_barrier) __syncthreads();
  const float value = tile()[other];
  if (planted != Planted::no_barrier_before_write) __syncthreads();
  tile()[t] = value;
  out[planted == Planted::one_place ? 0 : t] = value;
}

__global__ void warp_kernel(Planted planted, float* out) {
  const unsigned t = threadIdx.x;
  tile()[t] = static_cast<float>(t);
  const float sum = __shfl_xor_sync(kernels::full_warp, 1.0f, 1);
  if (planted != Planted::shuffle_as_barrier) __syncwarp();
  out[t] = tile()[t ^ 1] + sum;
  __syncwarp();
  tile()[t] += 1.0f;  // has been read by another lane, before the barrier
}

/// The last block adds what all have written.
__global__ void last_block_kernel(Planted planted, float* parts, unsigned* counter, float* out) {
  auto* const last = static_cast<int*>(shared_memory());
  parts[blockIdx.x * blockDim.x + threadIdx.x] = 1.0f;
  if (planted != Planted::no_writers_fence) __threadfence();
  if (planted != Planted::no_barrier_before_atomic) __syncthreads();
  if (threadIdx.x == 0) *last = atomicAdd(counter, 1u) + 1 == gridDim.x;
  __syncthreads();
  if (*last == 0) return;
  if (planted != Planted::no_readers_fence) __threadfence();
  float sum = 0.0f;
  for (unsigned block = 0; block < gridDim.x; ++block)
    sum += parts[block * blockDim.x + (threadIdx.x + 1) % blockDim.x];
  out[threadIdx.x] = sum;
  if (threadIdx.x == 0) *counter = 0;
}

__global__ void counter_kernel(Planted planted, unsigned* counter, float* out) {
  if (threadIdx.x == 0) atomicAdd(counter, 1u);
  if (planted == Planted::plain_read_of_counter && blockIdx.x == 1 && threadIdx.x == 1)
    out[0] = static_cast<float>(*counter);
}

__global__ void place_kernel(Planted planted, const float* in, int count, float* out) {
  if (threadIdx.x != 0) return;
  if (planted == Planted::read_after_end) out[0] = in[count];
  if (planted == Planted::read_before_start) out[0] = in[-1];
  if (planted == Planted::write_after_end) out[count] = 1.0f;
  if (planted == Planted::read_never_written) out[1] = out[0];
  if (planted == Planted::shared_never_written) out[0] = tile()[3];
  if (planted == Planted::shared_after_end) tile()[64] = 1.0f;
  if (planted == Planted::host_memory) out[0] = *in;
  if (planted == Planted::misaligned) {
    float values[4];
    kernels::load_vector(in + 1, values);
    out[0] = values[3];
  }
}

__global__ void branch_kernel(Planted planted, float* out) {
  if (planted == Planted::barriers_apart && threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
  out[threadIdx.x] = 0.0f;
}

__global__ void product_kernel(Planted planted, float* out) {
  auto* const rows = static_cast<std::uint16_t*>(shared_memory());
  for (unsigned i = threadIdx.x; i < 72; i += 32) rows[i] = 0;
  __syncwarp();
  if (planted == Planted::lost_lane_of_product && threadIdx.x == 7) return;
  unsigned a[4] = {}, b[2] = {};
  kernels::load_matrices(
      b, rows + threadIdx.x % 8 * 8 + (planted == Planted::matrix_row_not_aligned ? 1 : 0));
  if (planted == Planted::operand_not_rounded) a[1] = 0x3f800001u;  // just above 1
  float sum[4] = {};
  kernels::multiply_add_tf32(sum, a, b);
  out[threadIdx.x] = sum[0];
}

/// Both warps read what the other one copied, twice from one place.
__global__ void copy_kernel(Planted planted, const float* in, float* out) {
  const unsigned t = threadIdx.x, other = (t + 40) % blockDim.x;
  for (int round = 0; round < 2; ++round) {
    kernels::copy_async<4>(tile() + t, in + t);
    kernels::commit_copies();
    if (planted != Planted::no_wait_for_copy) kernels::wait_for_copies<0>();
    if (planted != Planted::no_barrier_after_wait) __syncthreads();
    out[t] = tile()[other];
    if (planted != Planted::no_barrier_before_copy) __syncthreads();
  }
  if (planted == Planted::no_wait_for_copy) kernels::wait_for_copies<0>();
  if (planted == Planted::copies_left) kernels::copy_async<4>(tile() + t, in + t);
}

/// Two threads write the halves of a word, which is no race.
__global__ void halves_kernel(std::uint16_t* out) { out[threadIdx.x] = 1; }

}  // namespace

void run_planted(Planted planted) {
  const DeviceArray<float> in(std::vector<float>(64, 1.0f)), out(64), parts(4 * 64);
  const DeviceArray<unsigned> counter(std::vector<unsigned>{0});
  const DeviceArray<std::uint16_t> halves(64);
  const auto on_host = std::make_unique<float>(1.0f);
  const bool host = planted == Planted::host_memory;
  const std::size_t shared = 64 * sizeof(float);
  launch("exchange", exchange_kernel, {1, 64, shared}, nullptr, planted, out);
  launch("warp", warp_kernel, {1, 64, shared}, nullptr, planted, out);
  launch("last_block", last_block_kernel, {4, 64, shared}, nullptr, planted, parts, counter, out);
  launch("counter", counter_kernel, {2, 64}, nullptr, planted, counter, out);
  launch("branch", branch_kernel, {1, 64}, nullptr, planted, out);
  launch("product", product_kernel, {1, 32, 256}, nullptr, planted, out);
  launch("copy", copy_kernel, {1, 64, shared}, nullptr, planted, in, out);
  launch("halves", halves_kernel, {1, 64}, nullptr, halves);
  const DeviceArray<float> fresh(64);
  launch("place", place_kernel, {1, 32, shared}, nullptr, planted,
         host ? on_host.get() : static_cast<const float*>(in), 64, fresh);
}

}  // namespace drnas::test
