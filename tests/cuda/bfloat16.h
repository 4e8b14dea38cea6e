// SPDX-License-Identifier: MIT
// Results in the storage type T, float or bfloat16: how far they may be off.
#pragma once

#include "kernels/core/bfloat16.h"
#include "tests/support/reference.h"

namespace drnas::test {

/// Half a unit in the last place of bfloat16's eight digits.
inline constexpr double bfloat16_rounding = 0x1p-8;
/// What storing a float32 result as T costs at most, relative to it.
template <class T>
constexpr double storage_rounding = sizeof(T) == 2 ? bfloat16_rounding : 0.0;

inline double largest(const Doubles& values) {
  double most = 0;
  for (const double v : values) most = std::max(most, std::abs(v));
  return most;
}

/// Checks |got - expected| <= relative |expected| + bound of every element, where `bound` is what
/// the value may be off before its rounding.
inline void check_each(const Doubles& got, const Doubles& expected, double relative, double bound) {
  REQUIRE(got.size() == expected.size());
  bound *= 1 + relative;
  for (std::size_t i = 0; i < got.size(); ++i)
    if (!(std::abs(got[i] - expected[i]) <= relative * std::abs(expected[i]) + bound))
      FAIL_CHECK("element ", i, " is ", got[i], ", expected ", expected[i]);
}

}  // namespace drnas::test
