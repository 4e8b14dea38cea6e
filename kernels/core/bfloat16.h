// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/core/host_device.h"

namespace drnas {

/// The upper half of a float32: eight bits of exponent, seven of mantissa. Storage only; arithmetic
/// is float32. Rounds to nearest, ties to even; a NaN stays a NaN.
struct bfloat16 {
  std::uint16_t bits;

  bfloat16() = default;
  DRNAS_HD explicit bfloat16(float value) {
#ifdef __CUDA_ARCH__
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return;
#endif
    std::uint32_t word;
    memcpy(&word, &value, sizeof word);
    if ((word & 0x7fffffffu) > 0x7f800000u)
      bits = static_cast<std::uint16_t>(word >> 16 | 0x40u);
    else
      bits = static_cast<std::uint16_t>((word + 0x7fffu + (word >> 16 & 1u)) >> 16);
  }
  DRNAS_HD operator float() const {
    const std::uint32_t word = static_cast<std::uint32_t>(bits) << 16;
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
  }
};

}  // namespace drnas
