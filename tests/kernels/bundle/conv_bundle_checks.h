// SPDX-License-Identifier: MIT
// What both twins of convolution bundles must do.
#pragma once

#include "tests/cases/conv_bundle.h"
#include "tests/cuda/conv_source.h"
#include "tests/kernels/bundle/node_reference.h"

namespace drnas::test {

using Mode = ConvBundleCase::Mode;
using Wanted = ConvBundleCase::Wanted;

inline std::string result(int size, const char* name) { return std::to_string(size) + " " + name; }

template <class Body>
void capture_and(const ConvBundle& b, const Body& body) {
  CAPTURE(b.n);
  CAPTURE(b.h);
  CAPTURE(b.w);
  CAPTURE(b.c);
  CAPTURE(b.parts());
  CAPTURE(b.edges);
  CAPTURE(b.sizes);
  CAPTURE(b.kernel[0]);
  CAPTURE(b.kernel[1]);
  CAPTURE(static_cast<int>(b.present[0]));
  CAPTURE(static_cast<int>(b.present[1]));
  body();
}

/// The raw outputs [pixels, rows] of a size without the padding, which must be zero.
inline Doubles unpadded(const ConvBundle& b, int size, const Doubles& z) {
  Doubles out;
  bool padding_is_zero = true;
  for (std::size_t i = 0; i < z.size(); ++i)
    if (static_cast<int>(i % b.z_channels(size)) < b.rows(size))
      out.push_back(z[i]);
    else
      padding_is_zero = padding_is_zero && z[i] == 0.0;
  CHECK(padding_is_zero);
  return out;
}

/// Statistics of a size against those of its own raw outputs; a mean is off by at most `means`
/// roundings of the root of E[z^2], a variance by `variances` of E[z^2].
inline void check_statistics(const ConvBundle& b, const Results& r, int size, double means,
                             double variances) {
  const auto of = [&](const char* name) { return r.at(result(size, name)); };
  const Doubles mean = of("mean"), inv_std = of("inv_std"), running_mean = of("running_mean"),
                running_var = of("running_var");
  const Moments moments(unpadded(b, size, of("z")), b.rows(size));
  const double m = static_cast<double>(b.pixels()), u = 0x1p-24, eps = ConvBundleCase::eps;
  for (int ch = 0; ch < b.rows(size); ++ch) {
    const double expected = moments.mean[ch], var = moments.var[ch],
                 power = var + expected * expected + 1e-30, bound = means * u * std::sqrt(power),
                 var_bound = variances * u * power, unbiased = m > 1 ? var * m / (m - 1) : 0.0;
    CHECK(std::abs(mean[ch] - expected) <= bound);
    CHECK(std::abs(inv_std[ch] * std::sqrt(var + eps) - 1) <=
          0.5 * var_bound / (var + eps) + 2 * u);
    CHECK(std::abs(running_mean[ch] - (0.9 * 0.5 + 0.1 * expected)) <= bound + 2 * u);
    CHECK(std::abs(running_var[ch] - (0.9 * 2.0 + 0.1 * unbiased)) <=
          var_bound + 4 * u * (2.0 + unbiased));
  }
}

/// Without running statistics and in evaluation: the same bits, and the running statistics as they
/// were. `training`: what a training pass left.
template <class T = float, class Run>
void check_modes(const Run& run, const ConvBundleCase& c, const Results& training) {
  const auto in = [&](Mode mode) {
    return run.once()([&](auto& b) { return c.forward<T>(b, mode); });
  };
  const Results still = in(Mode::no_running), evaluation = in(Mode::evaluation);
  for (int s = 0; s < c.bundle.sizes; ++s) {
    for (const char* name : {"z", "mean", "inv_std"})
      CHECK(still.at(result(s, name)) == training.at(result(s, name)));
    CHECK(evaluation.at(result(s, "z")) == training.at(result(s, "z")));
    const auto all = [&](float value) { return Doubles(c.bundle.rows(s), value); };
    CHECK(evaluation.at(result(s, "mean")) == all(0.5f));
    CHECK(evaluation.at(result(s, "running_mean")) == all(0.5f));
    CHECK(evaluation.at(result(s, "running_var")) == all(2.0f));
    CHECK(evaluation.at(result(s, "inv_std")) ==
          all(static_cast<float>(1.0 / std::sqrt(2.0 + double{c.eps}))));
  }
}

/// Whatever is left out, the rest keeps its bits. `all`: what the whole pass left.
template <class T = float, class Run>
void check_parts(const Run& run, const ConvBundleCase& c, const Results& all) {
  for (const Wanted& wanted :
       {Wanted{false}, Wanted{true, {false, false}}, Wanted{true, {true, false}},
        Wanted{false, {false, true}}, Wanted{false, {false, false}}}) {
    const Results part = run.once()([&](auto& b) { return c.backward<T>(b, wanted); });
    for (const auto& [name, values] : part) CHECK(values == all.at(name));
  }
}

}  // namespace drnas::test
