// SPDX-License-Identifier: MIT
// Loops of the CPU kernels over planes of identities whose values are dropped.
#pragma once

#include "kernels/planes/plane_loops.h"
#include "kernels/planes/skip_dropout.h"
#include "kernels/random/philox_lanes.h"

namespace drnas::kernels {

/// Factors of the pixels first .. first + count - 1 of a plane, and up to the next multiple of
/// plane_block; 4 divides `first`.
inline void skip_factors(const SkipFactors& factors, int skip, std::int64_t plane,
                         std::int64_t pixels, std::int64_t first, std::int64_t count, float* to) {
  constexpr int lanes = 16;
  static_assert(plane_block % (4 * lanes) == 0);
  for (std::int64_t i = 0; i < count; i += 4 * lanes) {
    const PhiloxLanes<lanes> words(factors.counter(skip, plane, pixels, first + i), factors.key());
    for (int lane = 0; lane < lanes; ++lane)
      for (int k = 0; k < 4; ++k) to[i + 4 * lane + k] = factors.of(words.word[k][lane]);
  }
}

/// Calls body(first pixel, pixels, their factors) for the blocks of a plane.
template <class Body>
void each_dropped_block(const SkipFactors& factors, int skip, std::int64_t plane,
                        std::int64_t pixels, const Body& body) {
  float factor[plane_block];
  each_block(pixels, [&](std::int64_t first, std::int64_t count) {
    skip_factors(factors, skip, plane, pixels, first, count, factor);
    body(first, count, static_cast<const float*>(factor));
  });
}

/// out += weight * factors * x over a plane.
inline void add_dropped_plane(const SkipFactors& factors, int skip, std::int64_t plane,
                              std::int64_t pixels, double weight, const float* x, float* out) {
  const float by = static_cast<float>(weight);
  each_dropped_block(factors, skip, plane, pixels,
                     [&](std::int64_t first, std::int64_t count, const float* factor) {
                       const float* from = x + first;
                       float* to = out + first;
                       each_vector(count, [&]<int V>(std::int64_t i) {
                         store<V>(to + i,
                                  load<V>(to + i) + by * (load<V>(factor + i) * load<V>(from + i)));
                       });
                     });
}

}  // namespace drnas::kernels
