// SPDX-License-Identifier: MIT
// What both twins of the separable convolutions must do. `run`: OnCpu or OnDevice.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/kernels/planes/separable_reference.h"
#include "tests/support/calls.h"

namespace drnas::test::separable {

using Mode = SeparableCase::Mode;
using Wanted = SeparableCase::Wanted;

inline std::string result(int filter, const char* name) {
  return std::to_string(filter) + " " + name;
}

/// Statistics of a filter's outputs, in float64 from the outputs as they are.
inline void check_statistics(const SeparableCase& c, const Results& r, int f) {
  const kernels::Separable& s = c.shape;
  const std::int64_t pixels = std::int64_t{s.out_h()} * s.out_w(), total = pixels * s.n;
  const PlaneShape shape{s.n, s.c_out, pixels};
  const ChannelMoments moments(shape, r.at(result(f, "z")));
  for (int o = 0; o < s.c_out; ++o) {
    const double mean = moments.mean[o], var = moments.var[o], power = var + mean * mean + 1e-30,
                 bound = sum_tolerance(static_cast<double>(pixels)),
                 unbiased = total > 1 ? var * shape.values() / (shape.values() - 1) : 0.0;
    CHECK(std::abs(r.at(result(f, "mean"))[o] - mean) <= bound * std::sqrt(power));
    CHECK(std::abs(r.at(result(f, "inv_std"))[o] * std::sqrt(var + c.eps) - 1) <=
          bound * (1 + power / (var + c.eps) * float_epsilon));
    CHECK(std::abs(r.at(result(f, "running_mean"))[o] - (0.9 * 0.5 + 0.1 * mean)) <=
          bound * (1 + std::sqrt(power)));
    CHECK(std::abs(r.at(result(f, "running_var"))[o] - (0.9 * 2.0 + 0.1 * unbiased)) <=
          bound * (2 + power));
  }
}

/// One of the modes, `thorough`, in every order.
template <class Run>
void check_forward(const Run& run, const SeparableCase& c, Mode thorough) {
  const auto in = [&](Mode mode) {
    const auto place = [&](auto& b) { return c.forward(b, mode); };
    return mode == thorough ? run(place) : run.once()(place);
  };
  const Results r = in(Mode::training), still = in(Mode::no_running),
                evaluation = in(Mode::evaluation);
  for (int f = 0; f < c.shape.filters; ++f) {
    const Filter& filter = c.filter[f];
    CAPTURE(f);
    CAPTURE(filter.kernel);
    CAPTURE(filter.dilation);
    const auto of = [f](const Results& from, const char* name) { return from.at(result(f, name)); };
    CHECK(max_error(of(r, "z"), forward(c, filter).z) <= sum_tolerance(filter.taps() + c.shape.c));
    check_statistics(c, r, f);
    for (const char* name : {"z", "mean", "inv_std"}) CHECK(of(still, name) == of(r, name));
    CHECK(of(evaluation, "z") == of(r, "z"));
    const auto all = [&](float value) { return Doubles(c.shape.c_out, value); };
    CHECK(of(evaluation, "mean") == all(0.5f));
    CHECK(of(evaluation, "inv_std") == all(static_cast<float>(1 / std::sqrt(2.0 + double{c.eps}))));
    CHECK(of(evaluation, "running_mean") == all(0.5f));
    CHECK(of(evaluation, "running_var") == all(2.0f));
  }
}

/// Gradient of a filter's normalised input, shared with those whose dx are in `total`.
inline void check_normalised_input(const SeparableCase& c, const Results& r, int f,
                                   const Doubles& dx, Gradients& total, double terms) {
  const kernels::Separable& s = c.shape;
  const PlaneShape shape{s.n, s.c, std::int64_t{s.h} * s.w};
  const Filter& filter = c.filter[f];
  normalised_input(s, filter, total);
  const double sum = sum_tolerance(terms + static_cast<double>(shape.pixels)),
               least = max_error(total.dx, Doubles(total.dx.size(), 0.0), 1.0) *
                           std::sqrt(shape.values()) +
                       1e-30;
  if (r.contains(result(f, "dgamma")))
    CHECK(max_error(r.at(result(f, "dgamma")), total.dgamma, least) <= sum);
  if (r.contains(result(f, "dbeta")))
    CHECK(max_error(r.at(result(f, "dbeta")), total.dbeta, least) <= sum);
  // The gradient of x itself by the coefficients that the kernel gave.
  const Doubles& a = r.at(result(f, "coefficients"));
  Doubles through(dx.size());
  shape.each([&](int, int ch, std::int64_t i) {
    through[i] = a[ch] * dx[i] + a[s.c + ch] * filter.x[i] + a[2 * s.c + ch];
  });
  CHECK(max_error(through, total.x, 1.0) <= 4 * sum);
}

/// Gradients of the filters [first, last), which share dx.
inline void check_shared_dx(const SeparableCase& c, bool accumulate, const Results& r, int first,
                            int last) {
  const kernels::Separable& s = c.shape;
  Gradients total;
  total.dx = accumulate ? c.start : Doubles(c.x_count(), 0.0);
  double terms = 0;
  const double pixels = static_cast<double>(c.out_pixels());
  for (int f = first; f < last; ++f) {
    const Filter& filter = c.filter[f];
    CAPTURE(f);
    CAPTURE(filter.kernel);
    CAPTURE(filter.dilation);
    const Gradients g = backward(c, filter, raw_gradient(c, filter));
    const double inner = filter.taps() + s.c_out;
    // Sums over pixels of rounded terms against the gradient's largest element.
    if (r.contains(result(f, "depthwise")))
      CHECK(max_error(r.at(result(f, "depthwise")), g.depthwise, std::sqrt(pixels * s.c_out)) <=
            sum_tolerance(pixels + inner));
    if (r.contains(result(f, "pointwise")))
      CHECK(max_error(r.at(result(f, "pointwise")), g.pointwise, std::sqrt(pixels)) <=
            sum_tolerance(pixels + inner));
    for (std::size_t i = 0; i < g.dx.size(); ++i) total.dx[i] += g.dx[i];
    terms += inner;
  }
  const Doubles& dx = r.at(result(first, "dx"));
  CHECK(max_error(dx, total.dx, 1.0) <= sum_tolerance(terms));
  for (int f = first; f < last; ++f)
    if (c.filter[f].normalised()) check_normalised_input(c, r, f, dx, total, terms);
}

/// Checks what has the same name in both.
inline void check_same(const Results& part, const Results& all) {
  for (const auto& result : part) {
    CAPTURE(result.first);
    CHECK(result.second == all.at(result.first));
  }
}

/// All gradients, and those of inputs and weights alone; one of the three, `thorough`, in every
/// order.
template <class Run>
void check_backward(const Run& run, const SeparableCase& c, bool accumulate, int thorough) {
  const Wanted wanted[] = {{true, true, accumulate}, {true, false, accumulate}, {false, true}};
  const auto in = [&](int which) {
    const auto place = [&](auto& b) { return c.backward(b, wanted[which]); };
    return which == thorough ? run(place) : run.once()(place);
  };
  const Results r = in(0);
  for (int first = 0; first < c.shape.filters;) {
    int last = first + 1;
    while (last < c.shape.filters && c.filter[last].shares_dx) ++last;
    check_shared_dx(c, accumulate, r, first, last);
    first = last;
  }
  check_same(in(1), r);
  check_same(in(2), r);
}

/// True where both hold NaNs at the same places.
inline bool same_nans(const Doubles& a, const Doubles& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](double x, double y) { return std::isnan(x) == std::isnan(y); });
}

/// A NaN in one channel of the inputs reaches what reads it, and nothing else.
template <class Run>
void check_nan(const Run& run, Rng& rng, const kernels::Separable& s) {
  SeparableCase c(rng, s, false);
  const int plane = s.h * s.w, lost = static_cast<int>(rng() % s.c);
  const std::size_t place =
      (rng() % s.n * s.c + lost) * static_cast<std::size_t>(plane) + rng() % plane;
  for (Filter& f : c.filter) f.x[place] = std::nan("");
  const Results forwards = run([&](auto&b) { return c.forward(b); }),
                backwards = run([&](auto&b) { return c.backward(b); });
  for (int f = 0; f < s.filters; ++f) {
    const Filter& filter = c.filter[f];
    CAPTURE(f);
    CAPTURE(filter.kernel);
    CAPTURE(filter.dilation);
    const Result wanted = forward(c, filter);
    CHECK(same_nans(forwards.at(result(f, "z")), wanted.z));
    const bool met = std::isnan(std::accumulate(wanted.z.begin(), wanted.z.end(), 0.0));
    for (const char* name : {"mean", "inv_std", "running_mean", "running_var"})
      for (const double v : forwards.at(result(f, name))) CHECK(std::isnan(v) == met);
    const Gradients g = backward(c, filter, raw_gradient(c, filter));
    if (backwards.contains(result(f, "pointwise")))
      CHECK(same_nans(backwards.at(result(f, "pointwise")), g.pointwise));
    if (backwards.contains(result(f, "dx")))
      for (const double v : backwards.at(result(f, "dx"))) CHECK(std::isfinite(v));
    // Zeros beside a plane may meet the NaN as well.
    if (!backwards.contains(result(f, "depthwise"))) continue;
    const Doubles& taps = backwards.at(result(f, "depthwise"));
    for (int i = 0; i < s.c * filter.taps(); ++i) {
      if (std::isnan(g.depthwise[i])) CHECK(std::isnan(taps[i]));
      if (i / filter.taps() != lost) CHECK(std::isfinite(taps[i]));
    }
  }
}

template <class Run>
void check_separable(const Run& run, Rng& rng, const SeparableCase& c) {
  CAPTURE(c.shape.n);
  CAPTURE(c.shape.c);
  CAPTURE(c.shape.c_out);
  CAPTURE(c.shape.h);
  CAPTURE(c.shape.w);
  CAPTURE(c.shape.stride);
  CAPTURE(c.shape.filters);
  check_forward(run, c, static_cast<Mode>(rng() % 3));
  check_backward(run, c, rng() % 2, pick(rng, {0, 0, 1, 2}));
}

}  // namespace drnas::test::separable
