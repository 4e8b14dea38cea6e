// SPDX-License-Identifier: MIT
// Batch normalisation's statistics and gradient coefficients of one channel, from float64 sums, for
// CPU and CUDA.
#pragma once

#include <cmath>

#include "kernels/core/error.h"
#include "kernels/planes/planes.h"

namespace drnas::kernels {

/// Number, mean and sum of squared deviations (M2) of a set of values.
struct PlaneMoments {
  double count = 0, mean = 0, m2 = 0;

  /// Chan et al. 1983.
  DRNAS_HD void merge(const PlaneMoments& other) {
    if (other.count == 0) return;
    const double total = count + other.count, delta = other.mean - mean;
    mean += delta * other.count / total;
    m2 += other.m2 + delta * delta * count * other.count / total;
    count = total;
  }
};

/// What is left of a channel whose operation does not run.
DRNAS_HD inline void rest(const PlaneStatistics& out, int channel) {
  out.mean[channel] = out.inv_std[channel] = 0.0f;
}

/// What a training pass leaves of one channel.
DRNAS_HD inline void finish_statistics(const PlaneMoments& moments, const PlaneStatistics& out,
                                       const NormMode& mode, int channel) {
  out.mean[channel] = static_cast<float>(moments.mean);
  out.inv_std[channel] = static_cast<float>(1.0 / sqrt(moments.m2 / moments.count + mode.eps));
  if (!out.running_mean || !gate_open(out.gate)) return;
  const double keep = 1.0 - mode.momentum, move = mode.momentum,
               unbiased = moments.m2 / (moments.count > 2 ? moments.count - 1 : 1.0);
  out.running_mean[channel] =
      static_cast<float>(keep * out.running_mean[channel] + move * moments.mean);
  out.running_var[channel] = static_cast<float>(keep * out.running_var[channel] + move * unbiased);
}

/// What an evaluation pass leaves of one channel.
DRNAS_HD inline void take_running_statistics(const PlaneStatistics& out, const NormMode& mode,
                                             int channel) {
  out.mean[channel] = out.running_mean[channel];
  const double var = out.running_var[channel];
  out.inv_std[channel] = static_cast<float>(1.0 / sqrt(var + mode.eps));
}

inline void check_statistics(const char* what, const PlaneStatistics& out, const NormMode& mode) {
  if (!mode.training && !(out.running_mean && out.running_var))
    throw Error(std::string(what) + ": evaluation without running statistics");
}

/// Gradient of a channel's normalised values weight (z - mean) inv_std with respect to z, from
/// sum = sum dy and centred = sum dy (z - mean) over `count` values:
///   dz = A dy + B z + C, written to coefficients [3, c].
DRNAS_HD inline void finish_gradient(double weight, float mean, float inv_std, double sum,
                                     double centred, double count, float* coefficients, int c,
                                     int channel) {
  const double inv = inv_std, a = weight * inv, slope = -a * inv * inv * centred / count;
  coefficients[channel] = static_cast<float>(a);
  coefficients[c + channel] = static_cast<float>(slope);
  coefficients[2 * c + channel] = static_cast<float>(-a * sum / count - slope * mean);
}

}  // namespace drnas::kernels
