// SPDX-License-Identifier: MIT
#include "tests/cuda/curand_words.h"

#include <curand_philox4x32_x.h>

#include "kernels/core/launch.h"

namespace drnas::test {
namespace {

__global__ void words_kernel(const uint4* counters, uint2 key, uint4* words, int count) {
  const int i = static_cast<int>(kernels::global_thread());
  if (i < count) words[i] = curand_Philox4x32_10(counters[i], key);
}

}  // namespace

void curand_words(const std::uint32_t* counters, std::uint32_t key_low, std::uint32_t key_high,
                  std::uint32_t* words, int count) {
  kernels::launch("curand_words", words_kernel, {kernels::blocks_for(count, 128), 128}, nullptr,
                  reinterpret_cast<const uint4*>(counters), uint2{key_low, key_high},
                  reinterpret_cast<uint4*>(words), count);
}

}  // namespace drnas::test
