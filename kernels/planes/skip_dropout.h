// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/random/philox.h"

namespace drnas::kernels {

/// Dropout of single values that identities pass on (P-DARTS, Chen et al., ICCV 2019): what
/// multiplies a value is 0 with probability p and else 1/(1 - p). No mask is stored: the backward
/// pass draws the same numbers again, by (seed, *step, skip, plane, pixel).
struct SkipDropout {
  std::uint64_t seed = 0;
  const float* probability = nullptr;   ///< [1], in the device's memory, 0 <= p <= 1; null: none
  const std::uint32_t* step = nullptr;  ///< [1], likewise: number of the draw

  bool active() const { return probability != nullptr; }
};

/// The factors of one draw. `skip`: number of the identity in the network; `plane`: image*c +
/// channel; u in [0, 1) of a pixel is word pixel % 4 of the block of its four neighbours.
class SkipFactors {
 public:
  DRNAS_HD explicit SkipFactors(const SkipDropout& d)
      : key_(philox_key(d.seed)),
        step_(*d.step),
        probability_(*d.probability),
        kept_(1.0f / (1.0f - probability_)) {}

  /// Where the block of a pixel lies in the stream.
  DRNAS_HD PhiloxCounter counter(int skip, std::int64_t plane, std::int64_t pixels,
                                 std::int64_t pixel) const {
    return {step_, static_cast<std::uint32_t>(Purpose::skip_dropout),
            static_cast<std::uint32_t>(plane * ((pixels + 3) / 4) + pixel / 4),
            static_cast<std::uint32_t>(skip)};
  }
  DRNAS_HD float of(std::uint32_t word) const {
    return uniform_float(word) < probability_ ? 0.0f : kept_;
  }
  /// Of V (1, 2 or 4) pixels from one that V divides on.
  template <int V>
  DRNAS_HD void vector(int skip, std::int64_t plane, std::int64_t pixels, std::int64_t pixel,
                       float (&factor)[V]) const {
    const PhiloxWords w = philox(counter(skip, plane, pixels, pixel), key_);
    const int first = static_cast<int>(pixel % 4);
    if constexpr (V == 4)
      for (int v = 0; v < V; ++v) factor[v] = of(w.word[v]);
    if constexpr (V == 2)
      for (int v = 0; v < V; ++v) factor[v] = of(first == 0 ? w.word[v] : w.word[2 + v]);
    if constexpr (V == 1)
      factor[0] = of(first < 2 ? (first == 0 ? w.word[0] : w.word[1])
                               : (first == 2 ? w.word[2] : w.word[3]));
  }
  DRNAS_HD PhiloxKey key() const { return key_; }

 private:
  PhiloxKey key_;
  std::uint32_t step_;
  float probability_, kept_;
};

}  // namespace drnas::kernels
