// SPDX-License-Identifier: MIT
// One instruction of kernels/core/mma.h and async_copy.h each, by one warp.
#pragma once

#include <cstdint>

#include "kernels/core/bfloat16.h"

namespace drnas::test {

/// d [16][8] = c + a [16][16] b [16][8], row-major, in device memory.
void multiply_bf16(const bfloat16* a, const bfloat16* b, const float* c, float* d);
/// d [16][8] = c + a [16][8] b [8][8].
void multiply_tf32(const float* a, const float* b, const float* c, float* d);
/// What lanes hold [matrices][32] of matrices [matrices][8][8]; matrices is 1, 2 or 4.
void load_matrices(const std::uint16_t* from, int matrices, bool transposed, unsigned* held);
/// `in` rounded by to_tf32(), of a multiple of 32 values.
void round_tf32(const float* in, float* out, int count);
/// `in`, of 32 times `bytes` bytes, through shared memory in two groups. Lanes from `present` on
/// copy nothing. The first group is used before the second is waited for.
void copy_through_shared(const void* in, int bytes, int present, void* out);

}  // namespace drnas::test
