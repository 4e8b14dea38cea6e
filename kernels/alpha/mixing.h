// SPDX-License-Identifier: MIT
// Draws of mixing weights other than a Dirichlet's, their derivatives, and updates of weights that
// lie on the simplex. All tables are float64, [edges, columns].
#pragma once

#include <cstdint>

#include "kernels/core/device.h"
#include "kernels/random/philox.h"

namespace drnas::kernels {

/// Most operations of an edge.
inline constexpr int max_columns = 16;

/// Entries of a table that belong together: set i has `count` entries, `stride` apart, from `first`
/// on.
struct EntrySet {
  std::int32_t first, count, stride;
};
/// Disjoint sets of a table; entries in none of them are left alone.
struct EntrySets {
  int sets;
  const EntrySet* set;  ///< [sets], in the device's memory
};

/// One draw of mixing weights a row: with G = -log(-log U), U uniform on (0, 1) from (seed, *step,
/// Purpose::mixing, element),
///   soft = softmax((alpha + G) / temperature) over the entries that are kept
/// (Maddison et al. and Jang et al., ICLR 2017). With `samples` 0 theta = soft; with 1 it is one at
/// the largest entry of soft and zero elsewhere, which for any temperature is a draw from
/// softmax(alpha) (Gumbel and Lieblein 1954). With 2 the two largest are a draw of two without
/// repetition; one of them, drawn by their shares, gets one, the other `faint_weight`: it is there,
/// and adds nothing in float32.
struct GumbelDraw {
  const double* alpha;
  const std::uint8_t* kept;  ///< 0: pruned; null: all kept
  double *theta, *soft;      ///< out
  int edges, ops;
  std::uint64_t seed;
  const std::uint32_t* step;  ///< [1]
  const double* temperature;  ///< [1]
  int samples;                ///< 0 to 2
};
inline constexpr double faint_weight = 1e-200;
template <Device D>
void gumbel_draw(const GumbelDraw& p, Stream);
/// dalpha_i = soft_i (g_i - sum_j soft_j g_j) / temperature: exact for theta = soft, and the
/// straight-through estimate for a sampled theta (Jang et al.; GDAS, Dong and Yang, CVPR 2019).
template <Device D>
void gumbel_backward(int edges, int ops, const double* soft, const double* temperature,
                     const double* dtheta, double* dalpha, Stream);
/// dalpha_i = g_c ([i = c] - p_i), where theta is one at c and p = softmax(alpha) over the kept:
/// the score function with the first-order credit of the chosen operation (DSNAS, Hu et al., CVPR
/// 2020, equation 11). A row without a chosen entry gets zero.
template <Device D>
void score_backward(int edges, int ops, const double* alpha, const std::uint8_t* kept,
                    const double* theta, const double* dtheta, double* dalpha, Stream);

/// The same of two: over the entries of theta that are not zero, with p the softmax over them,
/// dalpha_i = p_i (g_i - sum_j p_j g_j); zero elsewhere (ProxylessNAS, Cai et al., ICLR 2019,
/// section 3.2.1).
template <Device D>
void pair_backward(int edges, int ops, const double* alpha, const double* theta,
                   const double* dtheta, double* dalpha, Stream);
/// Shifts the entries of alpha whose theta is not zero, each row's by the same, so that the sum of
/// their exp(alpha) is what it was `before`: the probabilities of all others stay.
template <Device D>
void keep_mass(int edges, int ops, const double* theta, const double* before, double* alpha,
               Stream);

/// p = softmax of alpha over each set.
template <Device D>
void softmax_sets(const EntrySets& sets, const double* alpha, double* p, Stream);
/// dalpha_i = p_i (g_i - sum over the set of p_j g_j).
template <Device D>
void softmax_sets_backward(const EntrySets& sets, const double* p, const double* g, double* dalpha,
                           Stream);

/// Weights of edges: of a table [edges, ops + 1] whose last column weighs the whole edge,
///   theta_o = p_o p_last, theta_last = p_last
/// (PC-DARTS, Xu et al., ICLR 2020, equation 4; the last weighs what bypasses the operations).
template <Device D>
void weigh_edges(int edges, int ops, const double* p, double* theta, Stream);
/// dp_o = p_last g_o, dp_last = g_last + sum_o p_o g_o.
template <Device D>
void weigh_edges_backward(int edges, int ops, const double* p, const double* g, double* dp, Stream);

/// Exponentiated gradient on weights of the simplex (GAEA, Li et al., ICLR 2021, algorithm 1): over
/// each set
///   w_i <- w_i exp(-rate g_i), lifted to `floor` at least, then divided by their sum.
/// Writes *squared_norm = sum of g's squares; where that is not finite the weights stay.
struct ExponentiatedStep {
  EntrySets sets;
  int entries;  ///< of the table
  const double* gradient;
  double* weights;
  double* squared_norm;  ///< out [1]
  double rate, floor;
};
template <Device D>
void exponentiated_step(const ExponentiatedStep& p, Stream);

/// Perturbed mixing weights (SDARTS, Chen and Hsieh, ICML 2020): theta = p + delta, clipped to
/// [0, 1], each row divided by its sum; of a row clipped to zero the largest entry is one. Leaves
/// delta = theta - p, from which an ascent goes on.
template <Device D>
void perturb_rows(int edges, int ops, const double* p, double* delta, double* theta, Stream);
/// delta uniform on (-*radius, *radius) from (seed, *step, Purpose::perturbation, element).
template <Device D>
void uniform_noise(int entries, std::uint64_t seed, const std::uint32_t* step, const double* radius,
                   double* delta, Stream);
/// delta + share * radius * sign(g), clipped to [-*radius, *radius].
template <Device D>
void ascend_sign(int entries, const double* g, double share, const double* radius, double* delta,
                 Stream);

}  // namespace drnas::kernels
