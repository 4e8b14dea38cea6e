// SPDX-License-Identifier: MIT
// What device code sees on the host executor: qualifiers, indices, barriers, warp shuffles,
// atomics.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "../check/watch.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};

/// Of the thread that runs now.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

namespace simt {
void* shared_memory();
void block_barrier(const check::Place& place);
void warp_barrier(unsigned mask, const check::Place& place);
/// Bytes that one instruction moves, from or to memory of the device.
void load_packed(void* to, const void* from, std::size_t bytes);
void store_packed(void* to, const void* from, std::size_t bytes);
/// Gives `bytes` bytes to the warp and takes those of lane `from`. Every lane of the warp must call
/// it: a lane that has ended, or waits elsewhere, is an error.
void exchange(const void* value, void* result, std::size_t bytes, unsigned mask, int from);
int lane();

/// kernels/core/mma.h, of the calling lane: all lanes of a warp call them together.
enum class Operand { bf16, tf32 };
void multiply_add(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], Operand operand);
void load_matrices(unsigned* to, int matrices, bool transposed, const void* row);
/// kernels/core/async_copy.h, of the calling thread.
void copy_async(void* to, const void* from, std::size_t bytes, bool present);
void commit_copies();
void wait_for_copies(int pending);

template <class T>
T shuffle(unsigned mask, T value, int from) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
  T result;
  exchange(&value, &result, sizeof(T), mask, from);
  return result;
}
}  // namespace simt

inline void __syncthreads(const simt::check::Place& place = simt::check::Place::current()) {
  simt::block_barrier(place);
}
inline void __syncwarp(unsigned mask = 0xffffffffu,
                       const simt::check::Place& place = simt::check::Place::current()) {
  simt::warp_barrier(mask, place);
}
inline void __threadfence(const simt::check::Place& place = simt::check::Place::current()) {
  simt::check::fence(place);
}

template <class T>
T __shfl_sync(unsigned mask, T value, int from) {
  return simt::shuffle(mask, value, from & 31);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int other) {
  return simt::shuffle(mask, value, simt::lane() ^ other);
}
/// Lanes past the end keep their own value, as on the device.
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta) {
  const int from = simt::lane() + static_cast<int>(delta);
  return simt::shuffle(mask, value, from < 32 ? from : simt::lane());
}

namespace simt {
/// Threads take turns, so a plain addition is atomic.
std::uint64_t atomic_add(void* where, std::uint64_t value, std::size_t bytes);
}  // namespace simt

/// Integers only: float atomics have no order.
template <class T>
T atomicAdd(T* where, T value) {
  static_assert(std::is_integral_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
  return static_cast<T>(simt::atomic_add(where, static_cast<std::uint64_t>(value), sizeof(T)));
}

template <class T>
T __ldg(const T* from) {
  return *from;
}
