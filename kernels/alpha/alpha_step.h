// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kernels/core/device.h"
#include "kernels/train/optimizer.h"

namespace drnas::kernels {

/// What ends an architecture step, in one launch; all tables [edges, ops] float64. With beta the
/// concentrations of the last draw:
///   1. gradient = dL/dalpha of that draw from dL/dtheta, as dirichlet_backward; where dtheta is
///      null it stays.
///   2. gradient += kl d/dalpha sum over rows of KL(Dir(beta) || Dir(1, ..., 1)), pruned entries
///      included; left out where kl is zero.
///   3. *squared_norm = sum of the gradient's squares, in fixed order.
///   4. alpha by Adam on the gradient, scaled down to rule.max_norm; a norm that is not finite
///   leaves alpha, both moments and the count as they
///      were.
struct AlphaStep {
  int edges, ops;
  const double* dtheta;      ///< or null: `gradient` holds dL/dalpha
  const std::uint8_t* kept;  ///< to `raw_theta`: as dirichlet_sample took and left them; kept may
                             ///< be null, and the others where neither dtheta nor kl needs them
  const double* concentration;
  const double* theta;
  const double* derivative;
  const double* raw_theta;
  double kl;             ///< weight of the divergence
  double* gradient;      ///< in or out, see dtheta
  double* squared_norm;  ///< out [1]
  AdamRule rule;
  std::int64_t* steps;                           ///< [1]: steps done, one more afterwards
  double *alpha, *first_moment, *second_moment;  ///< in and out
};

/// Throws Error when edges is negative or ops is not between 1 and max_ops.
template <Device D>
void alpha_step(const AlphaStep& p, Stream);

}  // namespace drnas::kernels
