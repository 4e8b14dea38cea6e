// SPDX-License-Identifier: MIT
#pragma once

#include <cfloat>
#include <string>

#include "kernels/alpha/dirichlet.h"
#include "kernels/alpha/dirichlet_math.h"

/// What one entry of a row needs, shared by the CPU loops and the CUDA kernels of dirichlet.h.
namespace drnas::kernels {

inline void check_rows(const char* name, int edges, int ops) {
  if (edges < 0 || ops < 1 || ops > max_ops)
    throw Error(std::string(name) + ": " + std::to_string(edges) + " rows of " +
                std::to_string(ops) + " entries, expected 1 to " + std::to_string(max_ops) +
                " entries");
}

/// Stores beta of the entry and returns the log of its gamma draw.
DRNAS_HD inline double draw_log_gamma(const DirichletSample& p, int edge, int op) {
  const int i = edge * p.ops + op;
  const double beta = concentration_of(p.alpha[i]);
  p.concentration[i] = beta;
  return log_gamma_sample(beta, RandomStream(p.seed, Purpose::mixing), *p.step,
                          static_cast<std::uint32_t>(i));
}

/// Stores the entry's draw, rescaled draw and derivative; beta of the whole row is stored already.
DRNAS_HD inline void store_draw(const DirichletSample& p, const double* log_gamma, int edge,
                                int op) {
  const int row = edge * p.ops, i = row + op;
  const SimplexCoordinate draw = simplex_coordinate(log_gamma, p.ops, op);
  double others = 0.0;
  for (int j = 0; j < p.ops; ++j) others += j == op ? 0.0 : p.concentration[row + j];
  p.raw_theta[i] = draw.x;
  p.theta[i] = kept_share(log_gamma, p.kept == nullptr ? nullptr : p.kept + row, p.ops, op);
  p.derivative[i] =
      p.ops == 1 ? 0.0
                 : dirichlet_derivative(draw.x, draw.y, draw.log_x, p.concentration[i], others);
}

/// dL/dalpha of one entry.
DRNAS_HD inline double alpha_gradient(const DirichletBackward& p, int edge, int op) {
  const int row = edge * p.ops, i = row + op;
  if (p.kept != nullptr && p.kept[i] == 0) return 0.0;
  double mean = 0.0, sum = 0.0;
  for (int j = row; j < row + p.ops; ++j) {
    mean += p.theta[j] * p.dtheta[j];
    sum += p.kept == nullptr || p.kept[j] != 0 ? p.raw_theta[j] : 0.0;
  }
  if (sum < DBL_MIN) return 0.0;
  return concentration_slope(p.alpha[i], p.concentration[i]) * (p.derivative[i] / sum) *
         (p.dtheta[i] - mean);
}

}  // namespace drnas::kernels
