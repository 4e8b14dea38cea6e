// SPDX-License-Identifier: MIT
// Arrays in the storage type T, float or bfloat16, and how far a stored result may be off.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/core/bfloat16.h"
#include "tests/cuda/harness.h"

namespace drnas::test {

/// Half a unit in the last place of bfloat16's eight digits.
inline constexpr double bfloat16_rounding = 0x1p-8;
/// What storing a float32 result as T costs at most, relative to it.
template <class T>
constexpr double storage_rounding = sizeof(T) == 2 ? bfloat16_rounding : 0.0;

template <class T>
std::vector<T> stored(const std::vector<float>& values) {
  std::vector<T> result;
  for (const float v : values) result.push_back(T(v));
  return result;
}
template <class T>
std::vector<float> widened(const std::vector<T>& values) {
  return {values.begin(), values.end()};
}
/// The values that T keeps of these.
template <class T>
std::vector<float> rounded(const std::vector<float>& values) {
  return widened(stored<T>(values));
}

inline double largest(const std::vector<float>& values) {
  double most = 0;
  for (const float v : values) most = std::max(most, std::abs(static_cast<double>(v)));
  return most;
}

/// Checks |got - expected| <= relative |expected| + bound of every element, where `bound` is what
/// the value may be off before its rounding.
inline void check_each(const std::vector<float>& got, const std::vector<float>& expected,
                       double relative, double bound) {
  REQUIRE(got.size() == expected.size());
  bound *= 1 + relative;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double is = got[i], wanted = expected[i];
    if (!(std::abs(is - wanted) <= relative * std::abs(wanted) + bound))
      FAIL_CHECK("element ", i, " is ", is, ", expected ", wanted);
  }
}

}  // namespace drnas::test
