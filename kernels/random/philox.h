// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/core/host_device.h"

/// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random
/// numbers: as easy as 1, 2, 3", SC 2011). Every number is a pure function of (seed, step, purpose,
/// element, attempt), so nothing depends on threads, on order or on the device. Words, uniforms,
/// integers and permutations are bit-equal on host and device; normals differ by the ulps of log,
/// sin, cos.
namespace drnas::kernels {

/// Separate streams of one seed. The values are part of every result: never renumber.
enum class Purpose : std::uint32_t {
  init = 1,
  shuffle,
  augment,
  mixing,
  drop_path,
  validation,
  synthetic,
  trajectory,
  widening,
  perturbation,
  skip_dropout
};

struct PhiloxKey {
  std::uint32_t lo, hi;
};

struct PhiloxCounter {
  std::uint32_t step, purpose, element, attempt;
};

struct PhiloxWords {
  std::uint32_t word[4];
};

struct NormalPair {
  double first, second;
};

DRNAS_HD inline PhiloxKey philox_key(std::uint64_t seed) {
  return {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)};
}

DRNAS_HD inline PhiloxWords philox(PhiloxCounter counter, PhiloxKey key) {
  constexpr std::uint64_t multiplier0 = 0xD2511F53u, multiplier1 = 0xCD9E8D57u;
  constexpr std::uint32_t weyl0 = 0x9E3779B9u, weyl1 = 0xBB67AE85u;
  std::uint32_t c0 = counter.step, c1 = counter.purpose, c2 = counter.element, c3 = counter.attempt;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = multiplier0 * c0, product1 = multiplier1 * c2;
    c0 = static_cast<std::uint32_t>(product1 >> 32) ^ c1 ^ key.lo;
    c2 = static_cast<std::uint32_t>(product0 >> 32) ^ c3 ^ key.hi;
    c1 = static_cast<std::uint32_t>(product1);
    c3 = static_cast<std::uint32_t>(product0);
    key.lo += weyl0;
    key.hi += weyl1;
  }
  return {{c0, c1, c2, c3}};
}

/// [0, 1), a multiple of 2^-24.
DRNAS_HD inline float uniform_float(std::uint32_t word) {
  return static_cast<float>(word >> 8) * 0x1p-24f;
}

/// (0, 1), an odd multiple of 2^-53: symmetric about 1/2, and neither end can be reached.
DRNAS_HD inline double uniform_double(std::uint32_t high, std::uint32_t low) {
  const std::uint64_t bits = (static_cast<std::uint64_t>(high) << 32 | low) >> 12;
  return static_cast<double>(2 * bits + 1) * 0x1p-53;
}

/// [0, n) for n >= 1: the upper part of the 96-bit product of a 64-bit word and n; bias < n 2^-64.
DRNAS_HD inline std::uint32_t uniform_below(std::uint32_t n, std::uint32_t high,
                                            std::uint32_t low) {
  const std::uint64_t carry = static_cast<std::uint64_t>(low) * n >> 32;
  return static_cast<std::uint32_t>((static_cast<std::uint64_t>(high) * n + carry) >> 32);
}

/// Two independent standard normals from one block (Box and Muller, 1958).
DRNAS_HD inline NormalPair normal_pair(const PhiloxWords& w) {
  constexpr double two_pi = 6.283185307179586477;
  const double radius = std::sqrt(-2.0 * std::log(uniform_double(w.word[0], w.word[1])));
  const double angle = two_pi * uniform_double(w.word[2], w.word[3]);
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

/// Place of element i, 0 <= i < n, in a random permutation of [0, n) that depends on (key, purpose,
/// step). Takes no memory: a balanced Feistel network on the next even number of bits, applied
/// again while the value lies outside [0, n) (cycle walking; Black and Rogaway, CT-RSA 2002).
DRNAS_HD inline std::uint32_t permuted_index(std::uint32_t i, std::uint32_t n, PhiloxKey key,
                                             std::uint32_t step, Purpose purpose) {
  constexpr std::uint32_t rounds = 8;
  constexpr std::uint32_t own_attempts = 0x80000000u;  // apart from draws of the same purpose
  int half = 1;
  while (half < 16 && (std::uint64_t{1} << 2 * half) < n) ++half;
  const std::uint32_t mask = (1u << half) - 1;
  do {
    std::uint32_t left = i >> half, right = i & mask;
    for (std::uint32_t round = 0; round < rounds; ++round) {
      const PhiloxCounter counter{step, static_cast<std::uint32_t>(purpose), right,
                                  own_attempts + round};
      const std::uint32_t next = left ^ (philox(counter, key).word[0] & mask);
      left = right;
      right = next;
    }
    i = left << half | right;
  } while (i >= n);
  return i;
}

/// One named stream of a seed. Has no state: the same arguments give the same number.
class RandomStream {
 public:
  DRNAS_HD RandomStream(std::uint64_t seed, Purpose purpose)
      : key_(philox_key(seed)), purpose_(purpose) {}

  DRNAS_HD PhiloxWords words(std::uint32_t step, std::uint32_t element,
                             std::uint32_t attempt = 0) const {
    return philox({step, static_cast<std::uint32_t>(purpose_), element, attempt}, key_);
  }
  /// Float in [0, 1).
  DRNAS_HD float uniform(std::uint32_t step, std::uint32_t element) const {
    return uniform_float(words(step, element).word[0]);
  }
  /// Standard normal.
  DRNAS_HD double normal(std::uint32_t step, std::uint32_t element) const {
    return normal_pair(words(step, element)).first;
  }
  /// Integer in [0, n), n >= 1.
  DRNAS_HD std::uint32_t below(std::uint32_t n, std::uint32_t step, std::uint32_t element) const {
    const PhiloxWords w = words(step, element);
    return uniform_below(n, w.word[0], w.word[1]);
  }
  /// Place of element i in this step's permutation of [0, n).
  DRNAS_HD std::uint32_t permuted(std::uint32_t i, std::uint32_t n, std::uint32_t step) const {
    return permuted_index(i, n, key_, step, purpose_);
  }

 private:
  PhiloxKey key_;
  Purpose purpose_;
};

}  // namespace drnas::kernels
