// SPDX-License-Identifier: MIT
// What both twins of the separable convolutions say about a call: its limits, and which filters
// share an input or a gradient.
#pragma once

#include <string>

#include "kernels/planes/separable.h"

namespace drnas::kernels {

inline constexpr int separable_max_kernel = 7, separable_max_pad = 6;

/// Taps of every filter before and after a pixel.
inline int separable_pad(const SeparableFilter& f) { return f.dilation * (f.kernel - 1) / 2; }

inline void check_separable(const Separable& s, const SeparableFilter* filter) {
  const auto require = [](bool good, const std::string& what) {
    if (!good) throw Error("separable convolution: " + what);
  };
  require(s.n > 0 && s.c > 0 && s.h > 0 && s.w > 0 && s.c_out > 0,
          "sizes are " + std::to_string(s.n) + "x" + std::to_string(s.c) + "x" +
              std::to_string(s.h) + "x" + std::to_string(s.w) + " to " + std::to_string(s.c_out) +
              " channels, expected 1 or more");
  require(s.stride == 1 || s.stride == 2,
          "stride is " + std::to_string(s.stride) + ", expected 1 or 2");
  require(s.filters >= 1 && s.filters <= Separable::max_filters,
          std::to_string(s.filters) + " filters, expected 1 to " +
              std::to_string(Separable::max_filters));
  for (int f = 0; f < s.filters; ++f) {
    const int kernel = filter[f].kernel, dilation = filter[f].dilation;
    require(kernel == 3 || kernel == 5 || kernel == 7,
            "kernel is " + std::to_string(kernel) + ", expected 3, 5 or 7");
    require(dilation == 1 || dilation == 2,
            "dilation is " + std::to_string(dilation) + ", expected 1 or 2");
    require(filter[f].in.x.stride >= std::int64_t{s.c} * s.h * s.w,
            "images are " + std::to_string(filter[f].in.x.stride) +
                " elements apart, expected c*h*w or more");
  }
}

DRNAS_HD inline bool same_input(const SeparableInput& a, const SeparableInput& b) {
  return a.x.data == b.x.data && a.x.stride == b.x.stride && a.mean == b.mean &&
         a.inv_std == b.inv_std && a.gamma == b.gamma && a.beta == b.beta;
}

/// Filters [first, last) that read one input.
struct SeparableGroup {
  int first, last;
  int size() const { return last - first; }
};

/// The call's groups, each as long as neighbours share their input.
struct SeparableGroups {
  int count = 0;
  SeparableGroup group[Separable::max_filters];

  SeparableGroups(const Separable& s, const SeparableFilter* filter) {
    for (int f = 0; f < s.filters; ++f) {
      if (f > 0 && same_input(filter[f - 1].in, filter[f].in))
        ++group[count - 1].last;
      else
        group[count++] = {f, f + 1};
    }
  }
};

/// True where the backward pass computes the gradient of the filter's input.
DRNAS_HD inline bool wants_input_gradient(const SeparableBackward& p, int f) {
  return p.dx[f].data || p.input_coefficients[f] || p.dgamma[f] || p.dbeta[f];
}

/// True where a filter's gradient is summed with that of the filter before it.
DRNAS_HD inline bool continues_run(const SeparableBackward& p, int f) {
  return f > 0 && p.dx[f].data && p.dx[f].data == p.dx[f - 1].data &&
         same_input(p.filter[f - 1].in, p.filter[f].in);
}

/// The filter after the last one whose gradient is summed with that of filter `first`.
inline int run_end(const SeparableBackward& p, int first) {
  int last = first + 1;
  while (last < p.shape.filters && continues_run(p, last)) ++last;
  return last;
}

/// The limits of a backward call: filters that share dx are neighbours and share their input.
inline void check_separable(const SeparableBackward& p) {
  check_separable(p.shape, p.filter);
  for (int f = 0; f < p.shape.filters; ++f)
    for (int before = 0; before < f; ++before)
      if (p.dx[f].data && p.dx[f].data == p.dx[before].data && !continues_run(p, f))
        throw Error("separable convolution: filters " + std::to_string(before) + " and " +
                    std::to_string(f) + " share dx, expected neighbours that share their input");
}

}  // namespace drnas::kernels
