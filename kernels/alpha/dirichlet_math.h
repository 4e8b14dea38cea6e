// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/core/host_device.h"
#include "kernels/random/philox.h"

/// Scalar maths of Dirichlet sampling in float64, one source for host and device.
namespace drnas::kernels {

/// psi'(x) for x > 0: recurrence up to 12, then the asymptotic series (DLMF 5.15.5, 5.15.8). NaN
/// below zero, from where the recurrence may never come to its end.
DRNAS_HD inline double trigamma(double x) {
  if (x < 0.0) return NAN;
  double shift = 0.0;
  for (; x < 12.0; x += 1.0) shift += 1.0 / (x * x);
  const double u = 1.0 / (x * x);
  const double tail =
      u *
      (1.0 / 6 -
       u * (1.0 / 30 -
            u * (1.0 / 42 - u * (1.0 / 30 - u * (5.0 / 66 - u * (691.0 / 2730 - u * (7.0 / 6)))))));
  return (1.0 + 0.5 / x + tail) / x + shift;
}

/// psi(a + b) - psi(a) of the digamma function psi, for a, b > 0, as a sum of positive terms where
/// a subtraction would cancel. The series' differences z^-2k - (z+b)^-2k are (u - w)(u^(k-1) +
/// u^(k-2) w + ... + w^(k-1)) with u = z^-2, w = (z+b)^-2. NaN where a is below zero.
DRNAS_HD inline double digamma_difference(double a, double b) {
  if (a < 0.0) return NAN;
  double sum = 0.0;
  double z = a;
  for (; z < 12.0; z += 1.0) sum += b / (z * (z + b));
  const double step = b / (z * (z + b));
  const double u = 1.0 / (z * z), w = 1.0 / ((z + b) * (z + b));
  const double w2 = w * w, w3 = w2 * w;
  const double s2 = u + w, s3 = u * s2 + w2, s4 = u * s3 + w3, s5 = u * s4 + w2 * w2;
  const double s6 = u * s5 + w2 * w3, s7 = u * s6 + w3 * w3;
  const double series =
      1.0 / 12 - s2 / 120 + s3 / 252 - s4 / 240 + s5 / 132 - s6 * (691.0 / 32760) + s7 / 12;
  return sum + (std::log1p(b / z) + 0.5 * step + step * (1.0 / z + 1.0 / (z + b)) * series);
}

/// The continued fraction K = 1 + d1/(1 + d2/(1 + ...)) by Lentz's method, with its derivative
/// carried forward. The factors C_n D_n of Lentz are kept as 1 + e_n with e_n = -(d_n D_n /
/// C_(n-1)) e_(n-1), a product: e and its derivative go to zero without the noise of computing C_n
/// D_n - 1.
struct LentzFraction {
  double c = 1.0, dc = 0.0;   ///< C_n and its derivative
  double d = 0.0, dd = 0.0;   ///< D_n and its derivative
  double e = -1.0, de = 0.0;  ///< C_n D_n - 1 and its derivative
  double value = 1.0;         ///< K so far
  double slope = 0.0;         ///< derivative of ln K so far

  /// Takes in the next partial numerator and its derivative.
  DRNAS_HD void advance(double numerator, double derivative) {
    const double next_d = 1.0 / (1.0 + numerator * d);
    const double next_dd = -next_d * next_d * (derivative * d + numerator * dd);
    const double inverse_c = 1.0 / c;
    const double ratio = -numerator * next_d * inverse_c;
    const double dratio =
        -(derivative * next_d + numerator * next_dd) * inverse_c - ratio * dc * inverse_c;
    de = dratio * e + ratio * de;
    e = ratio * e;
    dc = (derivative - numerator * dc * inverse_c) * inverse_c;
    c = 1.0 + numerator * inverse_c;
    d = next_d;
    dd = next_dd;
    value *= 1.0 + e;
    slope += de / (1.0 + e);
  }

  /// The derivative converges later than the value, so both are asked.
  DRNAS_HD bool converged() const {
    return std::fabs(e) < 3e-16 && std::fabs(de) <= 1e-17 * std::fabs(slope);
  }
};

/// Continued fraction of the incomplete beta function, DLMF 8.17.22: I_t(p, q) = t^p (1-t)^q / (p
/// B(p, q) K). Returns K and d ln K / dp (`by_first`) or d ln K / dq. Meant for t <= (p + 1)/(p + q
/// + 2).
DRNAS_HD inline LentzFraction beta_fraction(double p, double q, double t, bool by_first) {
  constexpr int max_pairs = 10000;  // about sqrt(max(p, q)) pairs are needed
  LentzFraction k;
  k.advance(-(p + q) * t / (p + 1.0),
            by_first ? -(1.0 - q) * t / ((p + 1.0) * (p + 1.0)) : -t / (p + 1.0));
  for (int m = 1; m <= max_pairs && !k.converged(); ++m) {
    const double r = p + 2.0 * m;
    const double even = m * t / ((r - 1.0) * r);
    const double even_slope = by_first ? -even * (q - m) * (2.0 * r - 1.0) / ((r - 1.0) * r) : even;
    k.advance(even * (q - m), even_slope);
    const double odd = -(p + m) * t / (r * (r + 1.0));
    const double s = p + q + m;
    const double odd_slope =
        by_first ? odd * (s * m / ((p + m) * r) + (m + 1.0 - q) / (r + 1.0)) : odd;
    k.advance(odd * s, odd_slope);
  }
  return k;
}

/// D = (dx/da)/(1 - x) of a sample x of Beta(a, b) held at its quantile: dx/da = -(dI_x(a, b)/da) /
/// pdf (Jankowiak and Obermeyer, ICML 2018, arXiv 1806.01851), exact: I_x over the pdf needs no
/// power and no gamma function. x, y = 1 - x and log_x = ln x come from the caller, who knows each
/// to full relative precision. a, b > 0; relative error below 1e-11 for a and b from 1e-3 to 1e3.
DRNAS_HD inline double dirichlet_derivative(double x, double y, double log_x, double a, double b) {
  if (x <= (a + 1.0) / (a + b + 2.0)) {
    // psi(a + 1) - psi(a + b), free of the 1/a that both sides share
    const double psi = 1.0 / (a + b) - digamma_difference(a + 1.0, b);
    if (x < 1e-250) return std::exp(log_x - std::log(a)) * (psi - log_x);
    const LentzFraction k = beta_fraction(a, b, x, true);
    return x / a * (k.slope - log_x + psi) / k.value;
  }
  const LentzFraction k = beta_fraction(b, a, y, false);
  return x / b * (log_x + digamma_difference(a, b) - k.slope) / k.value;
}

/// ln of a Gamma(a, 1) draw, a > 0: Marsaglia and Tsang (ACM TOMS 26(3), 2000) with the attempt in
/// the counter. Below a = 1, Gamma(a) = Gamma(a + 1) U^(1/a), in logs, where a = 1e-3 gives values
/// far under the smallest double. Even attempts hold normals, odd ones the acceptance uniform; U is
/// taken from attempt 1. NaN when a is not a positive finite number.
DRNAS_HD inline double log_gamma_sample(double a, const RandomStream& stream, std::uint32_t step,
                                        std::uint32_t element) {
  constexpr std::uint32_t max_tries = 100;  // each is accepted with probability above 0.95
  if (!(a > 0.0)) return NAN;
  const double d = (a < 1.0 ? a + 1.0 : a) - 1.0 / 3;
  const double c = 1.0 / std::sqrt(9.0 * d);
  for (std::uint32_t t = 0; t < max_tries; ++t) {
    const double z = normal_pair(stream.words(step, element, 2 * t)).first;
    if (c * z <= -1.0) continue;
    const PhiloxWords w = stream.words(step, element, 2 * t + 1);
    const double log_v = 3.0 * std::log1p(c * z);
    const double bound = 0.5 * z * z + d * (1.0 - std::exp(log_v) + log_v);
    if (!(std::log(uniform_double(w.word[0], w.word[1])) < bound)) continue;
    if (a >= 1.0) return std::log(d) + log_v;
    const PhiloxWords boost = stream.words(step, element, 1);
    return std::log(d) + log_v + std::log(uniform_double(boost.word[2], boost.word[3])) / a;
  }
  return NAN;
}

/// Coordinate of a point of the simplex: x, its complement and its logarithm, each to full relative
/// precision.
struct SimplexCoordinate {
  double x, y, log_x;
};

/// Coordinate i of exp(log_gamma) / sum exp(log_gamma) over `ops` entries. y is the share of the
/// others, not 1 - x.
DRNAS_HD inline SimplexCoordinate simplex_coordinate(const double* log_gamma, int ops, int i) {
  double top = log_gamma[0];
  for (int j = 1; j < ops; ++j) top = log_gamma[j] > top ? log_gamma[j] : top;
  double others = 0.0;
  for (int j = 0; j < ops; ++j) others += j == i ? 0.0 : std::exp(log_gamma[j] - top);
  const double own = std::exp(log_gamma[i] - top);
  const double total = own + others;
  const double y = others / total;
  const double log_x = own >= others ? std::log1p(-y) : log_gamma[i] - top - std::log(total);
  return {own / total, y, log_x};
}

/// Share of entry i among the kept entries of exp(log_gamma); 0 for a pruned entry. `kept` may be
/// null: all are.
DRNAS_HD inline double kept_share(const double* log_gamma, const std::uint8_t* kept, int ops,
                                  int i) {
  if (kept != nullptr && kept[i] == 0) return 0.0;
  double top = log_gamma[i];
  for (int j = 0; j < ops; ++j)
    if ((kept == nullptr || kept[j] != 0) && log_gamma[j] > top) top = log_gamma[j];
  double total = 0.0;
  for (int j = 0; j < ops; ++j)
    if (kept == nullptr || kept[j] != 0) total += std::exp(log_gamma[j] - top);
  return std::exp(log_gamma[i] - top) / total;
}

/// beta = elu(alpha) + 1, without expm1(alpha) + 1, which loses small concentrations. It ends at
/// e^-350, whose square is still a double: below, draws and gradients would not be finite.
DRNAS_HD inline double concentration_of(double alpha) {
  constexpr double least = -350.0;
  return alpha > 0.0 ? alpha + 1.0 : std::exp(alpha < least ? least : alpha);
}

/// dbeta/dalpha = 1 above zero, e^alpha = beta elsewhere; below the least it stays at e^-350, so
/// that alpha can come back.
DRNAS_HD inline double concentration_slope(double alpha, double beta) {
  return alpha > 0.0 ? 1.0 : beta;
}

/// d KL / d beta_i = (beta_i - 1) psi'(beta_i) - (B - ops) psi'(B), B = sum beta, where one row's
/// KL(Dir(beta) || Dir(1, ..., 1)) = ln G(B) - sum ln G(beta_i) - ln G(ops) + sum (beta_i -
/// 1)(psi(beta_i) - psi(B)), G the gamma function.
DRNAS_HD inline double kl_to_uniform_slope(const double* beta, int ops, int i) {
  double total = 0.0, excess = 0.0;
  for (int j = 0; j < ops; ++j) {
    total += beta[j];
    excess += beta[j] - 1.0;
  }
  return (beta[i] - 1.0) * trigamma(beta[i]) - excess * trigamma(total);
}

}  // namespace drnas::kernels
