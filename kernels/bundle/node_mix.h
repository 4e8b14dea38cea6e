// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/core/bfloat16.h"
#include "kernels/core/device.h"
#include "kernels/core/gate_rows.h"

namespace drnas::kernels {

/// The weighted sum of a node's candidate operations, with batch normalisation, partial-channel
/// bypass and channel shuffle folded in (docs/kernels.md; BN without parameters):
///   mixed = sum_t theta_t (z_t - mean_t) inv_std_t + sum_s theta_skip_s x_s + P(sum_s theta_pool_s
///   x_s) y[pos*K + 0] = mixed[pos],   y[pos*K + g] = sum_s b_s x_s[g*c + pos] for g = 1 .. K-1
/// where t runs over normalised terms (raw convolution outputs), s over the source nodes, P is the
/// 3x3 average pool of stride 1 that counts only pixels inside the image, b_s weighs what bypasses
/// the operations (PC-DARTS; else 1), and K = channels/c.
/// Mixing weights are float64 on the device and named by their index in theta; -1 stands for an op
/// that is absent. T is the storage type of activations: float, or on CUDA bfloat16; arithmetic and
/// statistics are float32.
template <class T>
struct NodeMixTermOf {
  const T* z;             ///< [n, h, w, c] view
  std::int64_t z_stride;  ///< elements from pixel to pixel
  const float* mean;      ///< [c]
  const float* inv_std;   ///< [c]; null: z - mean enters as it is (forward on CUDA only)
  int theta;              ///< index of its mixing weight, where there is inv_std
};
template <class T>
struct NodeMixSourceOf {
  const T* x;  ///< [n, h, w, channels], dense, or apart
  int skip_theta, pool_theta;
  /// CUDA only: the c mixed channels of all pixels lie together, then the others [pixels,
  /// channels - c].
  bool apart = false;
  /// Of the weight that its bypassed channels are multiplied by; -1: they pass as they are.
  int bypass_theta = -1;
};
template <class T>
struct NodeMixOf {
  static constexpr int max_terms = 32;
  static constexpr int max_sources = 8;

  int n, h, w;
  int c;         ///< mixed channels
  int channels;  ///< of every node; channels/c = K parts
  int terms, sources;
  NodeMixTermOf<T> term[max_terms];
  NodeMixSourceOf<T> source[max_sources];
  const double* theta;
  bool y_apart = false;  ///< y is written apart, as a source may be; dy never is
  /// On CUDA z and x of operations that do not run are not read.
  GateRows gates = {};

  DRNAS_HD int parts() const { return channels / c; }
};
using NodeMixTerm = NodeMixTermOf<float>;
using NodeMixSource = NodeMixSourceOf<float>;
using NodeMix = NodeMixOf<float>;

template <Device D>
std::size_t node_mix_workspace(const NodeMix& p);
/// y [n, h, w, channels] overwritten. On CUDA y and dy are aligned to 16 bytes.
template <Device D>
void node_mix_forward(const NodeMix& p, float* y, void* workspace, Stream);
/// The same on bfloat16 activations: CUDA only.
template <Device D>
std::size_t node_mix_workspace(const NodeMixOf<bfloat16>& p);
template <Device D>
void node_mix_forward(const NodeMixOf<bfloat16>& p, bfloat16* y, void* workspace, Stream);

/// First half of the backward pass: all reductions, in one read of dy, z and x. With M = n*h*w,
///   g = sum dy,  S_t = sum dy (z_t - mean_t) inv_std_t,  dtheta_t = sum over channels of S_t,
///   dtheta_skip_s = sum dy x_s,  dtheta_pool_s = sum P^T(dy) x_s,
/// and the coefficients of dz_t = A dy + B z_t + C, which the bundles apply:
///   A = theta_t inv_std,  B = -A S_t inv_std / M,  C = -A g / M - B mean_t.
/// Where the statistics are fixed (running ones, which do not depend on z) M counts as infinite: B
/// = C = 0. Weights of mix.gates have derivatives of their own; coefficients of terms that do not
/// run may be left as they are. Deterministic: partial sums per image, added in order, whatever the
/// thread count.
template <class T>
struct NodeMixBackwardOf {
  NodeMixOf<T> mix;
  const T* dy;                              ///< [n, h, w, channels]
  float* coefficients[NodeMix::max_terms];  ///< [3, c] each: A, B, C
  double* dtheta;  ///< added to; null when the mixing weights' gradient is not wanted
  bool fixed_statistics = false;

  /// M of the formulas.
  DRNAS_HD double count() const {
    return fixed_statistics ? HUGE_VAL : static_cast<double>(mix.n) * mix.h * mix.w;
  }
};
using NodeMixBackward = NodeMixBackwardOf<float>;
/// Adds the derivatives of the sources' b_s, sum of dy_bypassed x_bypassed, to dtheta; nothing
/// where none has a weight. A call of its own: only methods with weights of edges need it.
template <Device D>
std::size_t node_bypass_workspace(const NodeMix& p);
template <Device D>
void node_bypass_backward(const NodeMixBackward& p, void* workspace, Stream);
template <Device D>
std::size_t node_bypass_workspace(const NodeMixOf<bfloat16>& p);
template <Device D>
void node_bypass_backward(const NodeMixBackwardOf<bfloat16>& p, void* workspace, Stream);
template <Device D>
std::size_t node_mix_backward_workspace(const NodeMix& p);
template <Device D>
void node_mix_backward(const NodeMixBackward& p, void* workspace, Stream);
/// The same on bfloat16 activations: CUDA only.
template <Device D>
std::size_t node_mix_backward_workspace(const NodeMixOf<bfloat16>& p);
template <Device D>
void node_mix_backward(const NodeMixBackwardOf<bfloat16>& p, void* workspace, Stream);

}  // namespace drnas::kernels
