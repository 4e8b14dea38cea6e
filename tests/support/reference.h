// SPDX-License-Identifier: MIT
// What the kernel tests share: random inputs, guarded buffers, float64 comparison and finite
// differences.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <random>
#include <span>
#include <vector>

namespace drnas::test {

using Doubles = std::vector<double>;

inline constexpr double float_epsilon = 0x1p-23;

/// Seeded by DRNAS_TEST_SEED (default 1) and the test's own number.
inline std::mt19937_64 generator(std::uint64_t test) {
  const char* seed = std::getenv("DRNAS_TEST_SEED");
  return std::mt19937_64(test * 1000003 + (seed ? std::strtoull(seed, nullptr, 10) : 1));
}

inline int pick(std::mt19937_64& rng, std::initializer_list<int> choices) {
  return choices.begin()[rng() % choices.size()];
}

/// Normal values that float32 holds exactly, so that both sides see the same numbers.
inline Doubles normals(std::mt19937_64& rng, std::int64_t count, double scale = 1.0) {
  std::normal_distribution<double> normal(0.0, scale);
  Doubles values(static_cast<std::size_t>(count));
  for (double& v : values) v = static_cast<float>(normal(rng));
  return values;
}

/// A float32 buffer between guard zones, 64-byte aligned, initialised with NaN or with values.
class Guarded {
 public:
  explicit Guarded(std::int64_t count)
      : count_(count), storage_(static_cast<std::size_t>(count) + 3 * guard) {
    const auto address = reinterpret_cast<std::uintptr_t>(storage_.data() + guard);
    first_ = storage_.data() + guard + (64 - address % 64) % 64 / sizeof(float);
    for (float& v : storage_) v = mark;
    for (std::int64_t i = 0; i < count; ++i) first_[i] = NAN;
  }
  explicit Guarded(const Doubles& values) : Guarded(static_cast<std::int64_t>(values.size())) {
    for (std::size_t i = 0; i < values.size(); ++i) first_[i] = static_cast<float>(values[i]);
  }
  Guarded(const Guarded&) = delete;
  ~Guarded() {
    bool intact = true;
    for (const float* p = storage_.data(); p < first_; ++p) intact = intact && *p == mark;
    for (const float* p = first_ + count_; p < storage_.data() + storage_.size(); ++p)
      intact = intact && *p == mark;
    CHECK_MESSAGE(intact, "a guard zone was overwritten");
  }
  float* data() { return first_; }
  operator float*() { return first_; }
  Doubles doubles() const { return Doubles(first_, first_ + count_); }
  std::vector<float> floats() const { return std::vector<float>(first_, first_ + count_); }

 private:
  static constexpr int guard = 64;
  static constexpr float mark = -12345.678f;
  std::int64_t count_;
  std::vector<float> storage_;
  float* first_;
};

/// Largest |out - reference| over the largest |reference| of the array, or over `least` where that
/// is more.
inline double max_error(const Doubles& out, const Doubles& reference, double least = 1e-30) {
  REQUIRE(out.size() == reference.size());
  double error = 0, scale = least;
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (!std::isfinite(out[i])) return INFINITY;
    error = std::max(error, std::abs(out[i] - reference[i]));
    scale = std::max(scale, std::abs(reference[i]));
  }
  return error / scale;
}

/// Bound for float32 sums of `terms` products against the array's largest value: rounding errors
/// add up at most linearly, in practice like a random walk; four times its deviation, and eight
/// roundings besides.
inline double sum_tolerance(double terms) { return float_epsilon * (8 + 4 * std::sqrt(terms)); }

/// Central difference of a float64 function in every element of x, by the five-point rule (error of
/// order h^4).
inline Doubles finite_differences(const std::function<double(const Doubles&)>& f, const Doubles& x,
                                  double h = 1e-3) {
  Doubles gradient(x.size()), moved = x;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto at = [&](double step) {
      moved[i] = x[i] + step;
      return f(moved);
    };
    gradient[i] = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
    moved[i] = x[i];
  }
  return gradient;
}

inline double dot(const Doubles& a, const Doubles& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace drnas::test
