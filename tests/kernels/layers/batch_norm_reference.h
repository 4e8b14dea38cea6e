// SPDX-License-Identifier: MIT
// Batch normalisation in float64.
#pragma once

#include "tests/cases/batch_norm.h"
#include "tests/cases/shapes.h"
#include "tests/support/calls.h"
#include "tests/support/reference.h"

namespace drnas::test {

/// y before the ReLU.
inline Doubles normalised(const BatchNormCase& c, const Doubles& x, const Doubles& gamma,
                          const Doubles& beta) {
  const Moments moments(x, c.channels);
  Doubles y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t ch = i % c.channels;
    const double hat = (x[i] - moments.mean[ch]) / std::sqrt(moments.var[ch] + c.eps);
    y[i] = c.options.affine ? gamma[ch] * hat + beta[ch] : hat;
  }
  return y;
}
inline Doubles forward(const BatchNormCase& c, const Doubles& x, const Doubles& gamma,
                       const Doubles& beta) {
  Doubles y = normalised(c, x, gamma, beta);
  for (double& v : y) v = c.options.relu ? std::max(0.0, v) : v;
  return y;
}

/// By how much x loses digits against its mean, per channel.
inline Doubles conditions(const BatchNormCase& c) {
  const Moments moments(c.x, c.channels);
  Doubles out;
  for (int ch = 0; ch < c.channels; ++ch)
    out.push_back(1 + std::abs(moments.mean[ch]) / std::sqrt(moments.var[ch] + c.eps));
  return out;
}
inline double condition(const BatchNormCase& c) {
  const Doubles all = conditions(c);
  return *std::max_element(all.begin(), all.end());
}

/// Statistics against float64: means to a few roundings of the values, deviations by Chan merging
/// to a few roundings of themselves; where `loses`, to as many as x loses against its mean.
inline void check_statistics(const BatchNormCase& c, const Results& r, bool loses = false) {
  const Doubles condition = conditions(c);
  const Moments moments(c.x, c.channels);
  const double m = static_cast<double>(c.pixels);
  for (int ch = 0; ch < c.channels; ++ch) {
    const double mean = moments.mean[ch], var = moments.var[ch],
                 unbiased = var * m / std::max(1.0, m - 1), moved = c.options.running ? 0.1 : 0.0,
                 running_mean = (1 - moved) * c.running_mean[ch] + moved * mean,
                 running_var = (1 - moved) * c.running_var[ch] + moved * unbiased,
                 bound = 16 * float_epsilon * (loses ? condition[ch] : 1);
    CHECK(std::abs(r.at("mean")[ch] - mean) <
          4 * float_epsilon * (std::abs(mean) + std::sqrt(var)));
    CHECK(std::abs(r.at("inv_std")[ch] * std::sqrt(var + c.eps) - 1) < bound);
    CHECK(std::abs(r.at("running_mean")[ch] - running_mean) <
          16 * float_epsilon * (1 + std::abs(mean)));
    CHECK(std::abs(r.at("running_var")[ch] / running_var - 1) < std::min(bound, 1e-4));
  }
}

}  // namespace drnas::test
