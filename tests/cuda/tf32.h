// SPDX-License-Identifier: MIT
// What TF32 makes of numbers, computed in double.
#pragma once

#include <cmath>

namespace drnas::test {

/// The nearest number of 11 significant bits, ties away from zero.
inline double nearest_tf32(double value) {
  if (value == 0 || !std::isfinite(value)) return value;
  int exponent = 0;
  std::frexp(value, &exponent);
  return std::ldexp(std::round(std::ldexp(value, 11 - exponent)), exponent - 11);
}

}  // namespace drnas::test
