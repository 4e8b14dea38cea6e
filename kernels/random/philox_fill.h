// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/core/device.h"
#include "kernels/random/philox.h"

namespace drnas::kernels {

/// Longest array that a fill accepts: its blocks must be countable in 32 bits.
inline constexpr std::int64_t max_fill = std::int64_t{1} << 33;

/// out[i] = lo + (hi - lo) u, u in [0, 1) from word i % 4 of the block of element i / 4, fused
/// multiply-add on both devices (bit-equal). Throws Error when n is negative or above max_fill.
template <Device D>
void fill_uniform(float* out, std::int64_t n, float lo, float hi, std::uint64_t seed,
                  Purpose purpose, std::uint32_t step, Stream stream);

/// out[i] = mean + deviation z, z the normal i % 2 of the block of element i / 2, computed in
/// double. Throws Error when n is negative or above max_fill.
template <Device D>
void fill_normal(float* out, std::int64_t n, float mean, float deviation, std::uint64_t seed,
                 Purpose purpose, std::uint32_t step, Stream stream);

/// Elements 4 block to 4 block + 3 of a uniform fill.
DRNAS_HD inline void fill_uniform_block(float* out, std::int64_t n, std::int64_t block, float lo,
                                        float hi, const RandomStream& stream, std::uint32_t step) {
  const PhiloxWords w = stream.words(step, static_cast<std::uint32_t>(block));
  for (int k = 0; k < 4; ++k) {
    if (4 * block + k < n) out[4 * block + k] = std::fma(hi - lo, uniform_float(w.word[k]), lo);
  }
}

/// Elements 2 block and 2 block + 1 of a normal fill.
DRNAS_HD inline void fill_normal_block(float* out, std::int64_t n, std::int64_t block, float mean,
                                       float deviation, const RandomStream& stream,
                                       std::uint32_t step) {
  const NormalPair z = normal_pair(stream.words(step, static_cast<std::uint32_t>(block)));
  out[2 * block] = static_cast<float>(std::fma(double{deviation}, z.first, double{mean}));
  if (2 * block + 1 < n)
    out[2 * block + 1] = static_cast<float>(std::fma(double{deviation}, z.second, double{mean}));
}

}  // namespace drnas::kernels
