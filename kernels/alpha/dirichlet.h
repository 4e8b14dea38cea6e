// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kernels/core/device.h"
#include "kernels/random/philox.h"

namespace drnas::kernels {

/// Longest row that the kernels take.
inline constexpr int max_ops = 16;

/// One draw of mixing weights per row from Dir(beta), beta = elu(alpha) + 1 (DrNAS, ICLR 2021,
/// section 3), with the factors of its exact pathwise derivative. All arrays [edges, ops] float64,
/// ops <= max_ops. The gamma of an entry is drawn from (seed, *step, Purpose::mixing, element =
/// edge * ops + op). Pruned entries take part in the draw; the kept ones are then rescaled to sum 1
/// (computed from the gammas' logs, so no underflow). A row without kept entry gives theta = 0. A
/// NaN in alpha gives NaN in its row.
struct DirichletSample {
  const double* alpha;
  const std::uint8_t* kept;  ///< 0: pruned; null: all kept
  double* concentration;     ///< out: beta
  double* theta;             ///< out: rescaled to the kept entries
  double* derivative;        ///< out: D_i = (dx_i/dbeta_i)/(1 - x_i) of the draw x before
  double* raw_theta;         ///< out: the draw x before
  int edges, ops;
  std::uint64_t seed;
  const std::uint32_t* step;  ///< [1], read from memory: a captured step draws afresh
};

/// Throws Error when edges is negative or ops is not between 1 and max_ops.
template <Device D>
void dirichlet_sample(const DirichletSample& p, Stream stream);

/// Gradient for alpha from the gradient g for theta. With v = theta and S = sum of the kept x, the
/// rescaling gives g'_i = m_i (g_i - sum_j v_j g_j)/S, and the draw gives dbeta_i = D_i (g'_i -
/// sum_j x_j g'_j), whose last sum is zero:
///   dalpha_i = elu'(alpha_i) m_i (D_i/S) (g_i - sum_j v_j g_j).
/// Overwrites dalpha. Zero for pruned entries, and for a row whose S lies below the smallest normal
/// double.
struct DirichletBackward {
  const double* dtheta;      ///< [edges, ops]
  const double* alpha;       ///< here to `raw_theta`: as left by dirichlet_sample
  const std::uint8_t* kept;  ///< null: all kept
  const double* concentration;
  const double* theta;
  const double* derivative;
  const double* raw_theta;
  double* dalpha;  ///< out [edges, ops]
  int edges, ops;
};

/// Throws Error when edges is negative or ops is not between 1 and max_ops.
template <Device D>
void dirichlet_backward(const DirichletBackward& p, Stream stream);

}  // namespace drnas::kernels
