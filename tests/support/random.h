// SPDX-License-Identifier: MIT
// Random inputs.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <random>
#include <vector>

namespace drnas::test {

using Doubles = std::vector<double>;
using Rng = std::mt19937_64;

/// Seeded by DRNAS_TEST_SEED (default 1) and the test's own number.
inline Rng generator(std::uint64_t test) {
  const char* seed = std::getenv("DRNAS_TEST_SEED");
  return Rng(test * 1000003 + (seed ? std::strtoull(seed, nullptr, 10) : 1));
}

inline int pick(Rng& rng, std::initializer_list<int> choices) {
  return choices.begin()[rng() % choices.size()];
}

/// Where not 0, larger arrays of normal values repeat a block of so many: for benchmarks, which
/// need numbers of the usual sizes but no draws.
inline std::int64_t& random_block() {
  static std::int64_t values = 0;
  return values;
}

/// Normal values that float32 holds exactly, so that both sides see the same numbers.
inline Doubles normals(Rng& rng, std::int64_t count, double scale = 1.0) {
  std::normal_distribution<double> normal(0.0, scale);
  Doubles values(static_cast<std::size_t>(count));
  const std::int64_t drawn = random_block() > 0 ? std::min(count, random_block()) : count;
  for (std::int64_t i = 0; i < drawn; ++i) values[i] = static_cast<float>(normal(rng));
  for (std::int64_t i = drawn; i < count; ++i) values[i] = values[i - drawn];
  return values;
}

/// Values with exact zeros among them, for the edge of the ReLU.
inline Doubles normals_and_zeros(Rng& rng, std::int64_t count) {
  Doubles values = normals(rng, count);
  for (double& v : values)
    if (rng() % 16 == 0) v = rng() % 2 ? 0.0 : -0.0;
  return values;
}

/// What T holds of these.
template <class T = float>
Doubles rounded(Doubles values) {
  for (double& v : values) v = T(static_cast<float>(v));
  return values;
}

}  // namespace drnas::test
