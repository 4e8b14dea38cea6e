// SPDX-License-Identifier: MIT
// What the kernel tests share: guarded buffers, float64 comparison, finite differences, thread
// counts.
#pragma once

#include <doctest/doctest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "tests/support/guarded_bytes.h"
#include "tests/support/random.h"

namespace drnas::test {

inline constexpr double float_epsilon = 0x1p-23;

/// A float32 buffer between guard zones, initialised with NaN or with values.
class Guarded {
 public:
  explicit Guarded(std::int64_t count)
      : count_(count), memory_(static_cast<std::size_t>(count) * sizeof(float)) {
    std::fill_n(data(), count, NAN);
  }
  explicit Guarded(const Doubles& values) : Guarded(static_cast<std::int64_t>(values.size())) {
    for (std::size_t i = 0; i < values.size(); ++i) data()[i] = static_cast<float>(values[i]);
  }
  Guarded(const Guarded&) = delete;
  ~Guarded() { CHECK_MESSAGE(memory_.intact(), "a guard zone was overwritten"); }
  float* data() { return reinterpret_cast<float*>(memory_.data()); }
  operator float*() { return data(); }
  std::size_t count() const { return static_cast<std::size_t>(count_); }
  Doubles doubles() const { return Doubles(first(), first() + count_); }
  std::vector<float> floats() const { return std::vector<float>(first(), first() + count_); }

 private:
  const float* first() const { return reinterpret_cast<const float*>(memory_.data()); }

  std::int64_t count_;
  GuardedBytes memory_;
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

/// A float64 result and, element by element, the sum of the magnitudes of everything that was added
/// up for it.
struct Bounded {
  Doubles value, magnitude;

  explicit Bounded(std::int64_t count = 0) : value(count, 0.0), magnitude(count, 0.0) {}
  void add(std::int64_t i, double term, double size) {
    value[i] += term;
    magnitude[i] += size;
  }
  void add(std::int64_t i, double term) { add(i, term, std::abs(term)); }
};

/// Largest error in units of 2^-24 times the element's magnitude: at most the number of roundings
/// on the longest way from an input to the result (Higham, Accuracy and Stability of Numerical
/// Algorithms, section 3.1).
inline double roundings(const Doubles& out, const Bounded& reference) {
  REQUIRE(out.size() == reference.value.size());
  double most = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const double error = std::abs(out[i] - reference.value[i]),
                 bound = 0x1p-24 * reference.magnitude[i] + 0x1p-126;
    if (!(error / bound <= most)) most = std::isnan(out[i]) ? INFINITY : error / bound;
  }
  return most;
}

/// The same against the largest magnitude of all elements: for methods that mix elements, such as
/// Winograd's.
inline double roundings_of_largest(const Doubles& out, Bounded reference) {
  double largest = 0;
  for (const double m : reference.magnitude) largest = std::max(largest, m);
  reference.magnitude.assign(reference.magnitude.size(), largest);
  return roundings(out, reference);
}

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

/// Sets the OpenMP thread count for a scope.
class Threads {
 public:
  explicit Threads(int count) : before_(omp_get_max_threads()) { omp_set_num_threads(count); }
  Threads(const Threads&) = delete;
  ~Threads() { omp_set_num_threads(before_); }

 private:
  int before_;
};

}  // namespace drnas::test
