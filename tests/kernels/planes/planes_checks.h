// SPDX-License-Identifier: MIT
// What both twins of layouts and averages must do. `run`: OnCpu or OnDevice.
#pragma once

#include "tests/cases/planes.h"
#include "tests/support/calls.h"
#include "tests/support/reference.h"

namespace drnas::test {

/// Every value in its place, sums rounded once.
template <class Run>
void check_layouts(const Run& run, const PlanesCase& c) {
  CAPTURE(c.s.n);
  CAPTURE(c.s.c);
  CAPTURE(c.s.pixels);
  CHECK(run([&](auto& b) { return c.to_planes(b); }).at("y") == c.x);
  for (const bool accumulate : {false, true}) {
    Doubles interleaved = c.interleaved(c.x), copied = c.x;
    for (std::size_t i = 0; i < c.x.size() && accumulate; ++i) {
      interleaved[i] = static_cast<float>(interleaved[i] + c.before[i]);
      copied[i] = static_cast<float>(copied[i] + c.before[i]);
    }
    CHECK(run([&](auto& b) { return c.from_planes(b, accumulate); }).at("y") == interleaved);
    CHECK(run([&](auto& b) { return c.copy(b, accumulate); }).at("y") == copied);
  }
}

/// The gradient has one rounding, and the same on both.
template <class Run>
void check_averages(const Run& run, const PlanesCase& c, double sum_roundings) {
  CAPTURE(c.s.n);
  CAPTURE(c.s.c);
  CAPTURE(c.s.pixels);
  Bounded y(static_cast<std::int64_t>(c.means.size())), dx(c.s.count());
  c.s.each([&](int, int, std::int64_t i) {
    y.add(i / c.s.pixels, c.x[i] / static_cast<double>(c.s.pixels));
    dx.add(i, c.means[i / c.s.pixels] / static_cast<double>(c.s.pixels));
  });
  CHECK(roundings(run([&](auto& b) { return c.average(b); }).at("y"), y) <= sum_roundings);
  const auto backward = [&](auto& b) { return c.average_backward(b); };
  const Results got = run(backward);
  CHECK(roundings(got.at("dx"), dx) <= 1);
  CHECK(got == OnCpu{}(backward));
}

}  // namespace drnas::test
