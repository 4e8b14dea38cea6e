// SPDX-License-Identifier: MIT
// The last block of a launch to arrive finishes what all of them did, for .cu files.
#pragma once

#include "kernels/core/launch.h"

namespace drnas::kernels {

/// True in all threads of the block that arrives last of `blocks`: they see what the others wrote
/// before they arrived. The counter is zero before and after. Every thread of the block must call
/// it; `last` lies in shared memory.
__device__ inline bool arrives_last(unsigned* counter, unsigned blocks, unsigned* last) {
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    *last = atomicAdd(counter, 1u) + 1 == blocks;
    if (*last) atomicAdd(counter, 0u - blocks);
  }
  __syncthreads();
  if (!*last) return false;
  __threadfence();
  return true;
}

/// Counters in device memory, zero when a process starts. Launches that use the same ones follow
/// each other on one stream.
template <int count>
struct ArrivalCounters {
  static constexpr int size = count;
  unsigned counter[count];
};

}  // namespace drnas::kernels
