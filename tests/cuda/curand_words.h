// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace drnas::test {

/// cuRAND's Philox4x32-10 of `count` counters of four words, all in device memory.
void curand_words(const std::uint32_t* counters, std::uint32_t key_low, std::uint32_t key_high,
                  std::uint32_t* words, int count);

}  // namespace drnas::test
