// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

/// Reference functions in extended precision, each by a method other than the one under test.
namespace drnas::test {

/// psi(x), x > 0: recurrence up to 40, then the asymptotic series.
inline long double psi_reference(long double x) {
  long double shift = 0.0L;
  for (; x < 40.0L; x += 1.0L) shift += 1.0L / x;
  const long double u = 1.0L / (x * x);
  const long double tail =
      u * (1.0L / 12 - u * (1.0L / 120 - u * (1.0L / 252 - u * (1.0L / 240 - u / 132))));
  return std::log(x) - 0.5L / x - tail - shift;
}

/// psi'(x), x > 0: recurrence up to 100, then the asymptotic series.
inline long double trigamma_reference(long double x) {
  long double shift = 0.0L;
  for (; x < 100.0L; x += 1.0L) shift += 1.0L / (x * x);
  const long double u = 1.0L / (x * x);
  return (1.0L + 0.5L / x + u * (1.0L / 6 - u * (1.0L / 30 - u * (1.0L / 42 - u / 30)))) / x +
         shift;
}

/// The positive-term series of D = (dx/da)/(1 - x) for Beta(a, b). Term by term derivative of
/// I_x = x^a y^b/(a B(a, b)) sum prod x (a+b+k)/(a+1+k), or of the same with x, a and y, b
/// exchanged; all terms of the chosen one have one sign. Slow near x = 1, y = 1.
inline long double derivative_by_series(long double x, long double y, long double a,
                                        long double b) {
  const long double log_x = x > 0.5L ? std::log1p(-y) : std::log(x);
  long double sum = 0.0L, term = 1.0L;
  if (b <= 1.0L || log_x <= psi_reference(a + 1) - psi_reference(a + b)) {
    long double psi = psi_reference(a + 1) - psi_reference(a + b);
    for (long n = 0; n < 10000000; ++n) {
      const long double add = term * (psi - log_x);
      sum += add;
      psi += 1.0L / (a + 1 + n) - 1.0L / (a + b + n);
      const long double ratio = x * (a + b + n) / (a + 1 + n);
      if (ratio < 1.0L && std::fabs(add) < 1e-21L * (1.0L - ratio) * std::fabs(sum)) break;
      term *= ratio;
    }
    return x / a * sum;
  }
  long double psi = psi_reference(a + b) - psi_reference(a);
  for (long n = 0; n < 10000000; ++n) {
    const long double add = term * (log_x + psi);
    sum += add;
    psi += 1.0L / (a + b + n);
    const long double ratio = y * (a + b + n) / (b + 1 + n);
    if (ratio < 1.0L && std::fabs(add) < 1e-21L * (1.0L - ratio) * std::fabs(sum)) break;
    term *= ratio;
  }
  return x / b * sum;
}

/// ln B(a, b).
inline long double log_beta_function(long double a, long double b) {
  return std::lgamma(a) + std::lgamma(b) - std::lgamma(a + b);
}

/// Continued fraction of DLMF 8.17.22 from its tail backwards, for x <= (a + 1)/(a + b + 2).
inline long double incomplete_beta_fraction(long double x, long double a, long double b) {
  long double tail = 1.0L;
  for (int m = 400; m >= 1; --m) {
    tail = 1.0L - (a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)) / tail;
    tail = 1.0L + m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)) / tail;
  }
  tail = 1.0L - (a + b) * x / (a + 1) / tail;
  return std::exp(a * std::log(x) + b * std::log1p(-x) - log_beta_function(a, b)) / (a * tail);
}

/// Regularised incomplete beta function I_x(a, b).
inline long double incomplete_beta(long double x, long double a, long double b) {
  return x <= (a + 1) / (a + b + 2) ? incomplete_beta_fraction(x, a, b)
                                    : 1.0L - incomplete_beta_fraction(1.0L - x, b, a);
}

/// The x with I_x(a, b) = p, by Newton's method from a start close to it.
inline long double beta_quantile(long double p, long double a, long double b, long double start) {
  long double x = start;
  for (int i = 0; i < 12; ++i) {
    const long double density =
        std::exp((a - 1) * std::log(x) + (b - 1) * std::log1p(-x) - log_beta_function(a, b));
    x -= (incomplete_beta(x, a, b) - p) / density;
  }
  return x;
}

/// Regularised lower incomplete gamma function P(a, x) at x = e^log_x, by its power series in logs.
inline long double incomplete_gamma(long double a, long double log_x) {
  const long double x = std::exp(log_x);
  long double sum = 1.0L, term = 1.0L;
  for (int n = 1; n < 2000 && term > 1e-20L * sum; ++n) {
    term *= x / (a + n);
    sum += term;
  }
  return std::exp(a * log_x - x - std::lgamma(a + 1)) * sum;
}

}  // namespace drnas::test
