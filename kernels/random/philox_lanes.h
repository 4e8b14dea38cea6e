// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/random/philox.h"

namespace drnas::kernels {

/// Several Philox blocks at once, in loops over lanes that a compiler turns into vectors: word k of
/// the block of element first + i is word[k][i].
template <int N>
struct PhiloxLanes {
  std::uint32_t word[4][N];

  PhiloxLanes(const PhiloxCounter& first, PhiloxKey key) {
    constexpr std::uint64_t multiplier0 = 0xD2511F53u, multiplier1 = 0xCD9E8D57u;
    constexpr std::uint32_t weyl0 = 0x9E3779B9u, weyl1 = 0xBB67AE85u;
    for (int i = 0; i < N; ++i) {
      word[0][i] = first.step;
      word[1][i] = first.purpose;
      word[2][i] = first.element + static_cast<std::uint32_t>(i);
      word[3][i] = first.attempt;
    }
    for (int round = 0; round < 10; ++round) {
      for (int i = 0; i < N; ++i) {
        const std::uint64_t product0 = multiplier0 * word[0][i],
                            product1 = multiplier1 * word[2][i];
        word[0][i] = static_cast<std::uint32_t>(product1 >> 32) ^ word[1][i] ^ key.lo;
        word[2][i] = static_cast<std::uint32_t>(product0 >> 32) ^ word[3][i] ^ key.hi;
        word[1][i] = static_cast<std::uint32_t>(product1);
        word[3][i] = static_cast<std::uint32_t>(product0);
      }
      key.lo += weyl0;
      key.hi += weyl1;
    }
  }
};

}  // namespace drnas::kernels
