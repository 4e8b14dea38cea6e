// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <numeric>

#include "nas/diagnostics/hessian.h"
#include "tests/support/reference.h"

namespace drnas::test {

/// The dominant eigenvalue of the Hessian at `point`, without that matrix: H v by a central
/// difference of gradients along v.
inline double power_iteration(const Objective& objective, const Doubles& point, double step,
                              int rounds) {
  auto rng = generator(76);
  Doubles v = normals(rng, static_cast<std::int64_t>(point.size())), above, below;
  double eigenvalue = 0;
  for (int round = 0; round < rounds; ++round) {
    const double length = std::sqrt(std::inner_product(v.begin(), v.end(), v.begin(), 0.0));
    Doubles plus = point, minus = point;
    for (std::size_t k = 0; k < v.size(); ++k) {
      v[k] /= length;
      plus[k] += step * v[k];
      minus[k] -= step * v[k];
    }
    objective(plus, &above);
    objective(minus, &below);
    eigenvalue = 0;
    for (std::size_t k = 0; k < v.size(); ++k) {
      const double product = (above[k] - below[k]) / (2 * step);
      eigenvalue += v[k] * product;
      v[k] = product;
    }
  }
  return eigenvalue;
}

}  // namespace drnas::test
