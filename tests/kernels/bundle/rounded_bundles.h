// SPDX-License-Identifier: MIT
// Convolution bundles whose operands are rounded on the device, against the float32 CPU twin.
#pragma once

#include "tests/cuda/bfloat16.h"
#include "tests/cuda/harness.h"
#include "tests/kernels/bundle/conv_bundle_checks.h"

namespace drnas::test {

/// Roundings of a float32 sum of `terms`, on both sides, against the largest result.
inline double sum_rounding(double terms) { return 2 * 0x1p-24 * (terms + 48); }

/// Calls body(values) for all arrays that are stored as T.
template <class Body>
void each_stored(ConvBundleCase& c, const Body& body) {
  body(c.x);
  for (auto* arrays : {&c.weight, &c.dy, &c.z})
    for (Doubles& values : *arrays) body(values);
}

/// What the kernels see of these.
inline ConvBundleCase seen(ConvBundleCase c) {
  each_stored(c, [](Doubles& values) { values = rounded<bfloat16>(values); });
  return c;
}

/// The sums of the magnitudes of all products that an element of dx or dweight is made of.
inline Results magnitudes(const ConvBundleCase& of) {
  ConvBundleCase c = of;
  const auto make_positive = [](Doubles& values) {
    for (double& v : values) v = std::abs(v);
  };
  each_stored(c, make_positive);
  c.x = of.x;
  for (auto& of_edge : c.coefficients)
    for (Doubles& values : of_edge) make_positive(values);
  for (auto* weights : {&c.skip, &c.pool})
    for (auto& weight : *weights)
      if (weight) weight = std::abs(*weight);
  return OnCpu{}([&](auto& b) { return c.backward(b); });
}

/// Checks what a backward pass on T leaves, rounded by at most these of the sums of magnitudes on
/// the way.
template <class T>
void check_rounded_backward(const ConvBundleCase& c, double dx_rounding, double dweight_rounding) {
  const ConvBundle& b = c.bundle;
  const ConvBundleCase narrow = std::is_same_v<T, float> ? c : seen(c);
  const Results cpu = OnCpu{}([&](auto& of) { return narrow.backward(of); });
  const Results device = OnDevice{}([&](auto& of) { return c.backward<T>(of); });
  for (const auto& [name, magnitude] : magnitudes(narrow)) {
    CAPTURE(name);
    const bool is_dx = name == "dx";
    // Products of roundings cost less than a hundredth more; float32's sums come on top.
    const double store = (is_dx ? dx_rounding : dweight_rounding) * 1.01;
    const double terms =
        is_dx ? 18.0 * b.edges * b.c + 2 * b.edges : static_cast<double>(b.pixels());
    const Doubles &got = device.at(name), &expected = cpu.at(name);
    REQUIRE(got.size() == expected.size());
    const double floats = sum_rounding(terms) * largest(magnitude);
    for (std::size_t j = 0; j < got.size(); ++j)
      if (!(std::abs(got[j] - expected[j]) <= store * magnitude[j] + floats))
        FAIL_CHECK("element ", j, " is ", got[j], ", expected ", expected[j]);
  }
}

}  // namespace drnas::test
