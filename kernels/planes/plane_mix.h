// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "kernels/core/gate_rows.h"
#include "kernels/planes/planes.h"
#include "kernels/planes/skip_dropout.h"

namespace drnas::kernels {

/// The weighted sum of a node's candidate operations on planes (see node_mix.h for NHWC), with
/// batch normalisation without parameters, partial-channel bypass and channel shuffle folded in:
///   mixed[ch] = sum_t theta_t (z_t[ch] - mean_t) inv_std_t + sum_s theta_skip_s x_s[ch]
///   y[ch*K + 0] = mixed[ch],   y[ch*K + g] = sum_s b_s bypass_s[(g - 1)*c + ch] for g = 1 .. K-1
/// t over raw outputs, s over edges; b_s weighs what bypasses the operations (PC-DARTS; else 1); K
/// = channels/c. Mixing weights are float64 in the device's memory, named by their index in theta;
/// -1: the edge has no identity. Where there is dropout, x_s stands for factor x_s (SkipFactors).
struct PlaneMixTerm {
  ConstPlanes z;                ///< [n, c, pixels]
  const float *mean, *inv_std;  ///< [c]
  int theta;
};
struct PlaneMixSource {
  ConstPlanes x;  ///< [n, c, pixels]; unused where skip_theta < 0
  int skip_theta;
  ConstPlanes bypass;     ///< [n, (K-1)*c, pixels]; unused where K = 1
  int bypass_theta = -1;  ///< of the weight of `bypass`; -1: it passes as it is
  int skip = 0;           ///< number of the identity, for dropout
};
struct PlaneMix {
  static constexpr int max_terms = 48;
  static constexpr int max_sources = 8;

  int n;
  std::int64_t pixels;  ///< of an image
  int c, channels;
  int terms, sources;
  PlaneMixTerm term[max_terms];
  PlaneMixSource source[max_sources];
  const double* theta;
  GateRows gates = {};  ///< on CUDA z and x of operations that do not run are not read
  SkipDropout dropout = {};

  DRNAS_HD int parts() const { return channels / c; }
};
template <Device D>
void plane_mix_forward(const PlaneMix& p, Planes y, Stream);

/// All reductions of the backward pass. With M = n*pixels and dy[ch] the plane ch*K of dy:
///   g = sum dy,  S_t = sum dy (z_t - mean_t) inv_std_t,  dtheta_t = sum over channels of S_t,
///   dtheta_skip_s = sum dy x_s,   A = theta_t inv_std,  B = -A S_t inv_std / M,
///   C = -A g / M - B mean_t,  so that dz_t = A dy + B z_t + C.
/// Weights of mix.gates have derivatives of their own; coefficients of terms that do not run may be
/// left as they are. Partial sums an image, added in order.
struct PlaneMixBackward {
  PlaneMix mix;
  ConstPlanes dy;                            ///< [n, channels, pixels]
  float* coefficients[PlaneMix::max_terms];  ///< [3, c] each
  double* dtheta;  ///< added to; null when the mixing weights' gradient is not wanted
  bool fixed_statistics = false;  ///< mean and inv_std do not depend on z: M counts as infinite

  DRNAS_HD double count() const {
    return fixed_statistics ? HUGE_VAL
                            : static_cast<double>(mix.n) * static_cast<double>(mix.pixels);
  }
};
template <Device D>
std::size_t plane_mix_backward_workspace(const PlaneMix& p);
template <Device D>
void plane_mix_backward(const PlaneMixBackward& p, void* workspace, Stream);
/// Adds the derivatives of the b_s, sum of dy_bypassed bypass, to dtheta, which is there. A call of
/// its own: only methods with weights of edges need it.
template <Device D>
std::size_t plane_bypass_workspace(const PlaneMix& p);
template <Device D>
void plane_bypass_backward(const PlaneMixBackward& p, void* workspace, Stream);

/// The share of a state's gradient that identities and bypasses of its outgoing edges give:
///   dx[ch] = sum_e theta_skip_e dy_e[ch*K],   dbypass[(g-1)*c + ch] = sum_e b_e dy_e[ch*K + g]
/// where there is dropout, factor dy_e in place of the first dy_e.
/// Edges without identity have skip_theta -1, those whose b is 1 bypass_theta -1. dx and dbypass
/// (null: unwanted) are overwritten, or added to where accumulate_x, accumulate_bypass.
struct PlaneSourceGradient {
  static constexpr int max_edges = 8;
  int n;
  std::int64_t pixels;
  int c, channels;
  int edges;
  ConstPlanes dy[max_edges];
  int skip_theta[max_edges];
  int bypass_theta[max_edges] = {-1, -1, -1, -1, -1, -1, -1, -1};
  int skip[max_edges] = {};  ///< numbers of the identities, for dropout
  SkipDropout dropout = {};
  const double* theta;
  Planes dx, dbypass;
  bool accumulate_x, accumulate_bypass;
  bool zeros_rest = false;  ///< identities of weight zero do not run, and are not read on CUDA
};
template <Device D>
void plane_source_gradient(const PlaneSourceGradient& p, Stream);

}  // namespace drnas::kernels
