// SPDX-License-Identifier: MIT
// Copies from device memory to shared memory that complete late, for .cu files: `cp.async`, compute
// capability 8.0 and newer (PTX ISA 8.7, section 9.7.9.25). A thread starts copies, closes groups
// of them, and waits for its groups in their order. Between its start and its wait the target holds
// nothing (poison on the host executor). A wait shows the thread its own copies; a barrier after it
// shows them to the block.
#pragma once

#include "kernels/core/mma.h"

namespace drnas::kernels {

/// Starts a copy of 4, 8 or 16 bytes, both places aligned for them. Where `present` is false zeros
/// come instead and `from` is not read.
template <int Bytes>
__device__ inline void copy_async(void* shared, const void* from, bool present = true) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
#ifdef DRNAS_SIMT
  simt::copy_async(shared, from, Bytes, present);
#else
  const unsigned to = shared_address(shared), bytes = present ? Bytes : 0;
  // 16 bytes need not go through the first cache, which nobody would read them from again.
  if constexpr (Bytes == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(from), "n"(Bytes),
                 "r"(bytes)
                 : "memory");
#endif
}

/// Closes a group of the thread's copies since the last one; it may be empty.
__device__ inline void commit_copies() {
#ifdef DRNAS_SIMT
  simt::commit_copies();
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/// Waits until at most the thread's latest `Pending` groups are not complete.
template <int Pending>
__device__ inline void wait_for_copies() {
#ifdef DRNAS_SIMT
  simt::wait_for_copies(Pending);
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
#endif
}

}  // namespace drnas::kernels
