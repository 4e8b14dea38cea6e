// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/core/bfloat16.h"
#include "kernels/core/device.h"
#include "kernels/core/gate_rows.h"
#include "kernels/core/host_device.h"
#include "kernels/core/parallel.h"

namespace drnas::kernels {

/// An outgoing bundle: all candidate convolutions (1x1, 3x3, ...; stride 1, "same" padding) that
/// read one node x on all its outgoing edges, run as one convolution per kernel size with count*c
/// output channels on u = relu(x), with the channel statistics that batch normalisation needs.
/// An edge may lack sizes: of each size there are rows for the edges that have it, in order.
/// Reads the first c of x's channels (partial channels, PC-DARTS). Raw outputs z are kept;
/// normalised outputs never exist (see node_mix.h).
struct ConvBundle {
  static constexpr int max_sizes = 2;
  static constexpr int max_edges = 8;
  static constexpr std::uint8_t every_edge = (1 << max_edges) - 1;

  int n, h, w;
  int c;           ///< channels read, and channels of each edge's output
  int x_channels;  ///< of x, and its pixel stride; c divides it, x_channels/c = K parts
  int edges;
  int sizes;  ///< number of kernel sizes that some edge has; none: only what needs no convolution
  int kernel[max_sizes];
  /// Bit e: edge e has this size. Bits from `edges` on mean nothing.
  std::uint8_t present[max_sizes] = {every_edge, every_edge};
  /// Where this is a part of a node's bundle: the largest kernel size of all, so that on CUDA the
  /// part runs as the whole does. 0: of those given.
  int reach = 0;
  /// x lies apart (CUDA only): the first c channels of all pixels [pixels, c], then the others.
  bool apart = false;

  DRNAS_HD bool has(int size, int edge) const { return (present[size] >> edge & 1) != 0; }
  /// Where an edge stands among those that have the size: how many come before it.
  DRNAS_HD int slot(int size, int edge) const {
    unsigned bits = present[size] & ((1u << edge) - 1);
    bits -= bits >> 1 & 0x55;
    bits = (bits & 0x33) + (bits >> 2 & 0x33);
    return static_cast<int>((bits + (bits >> 4)) & 0x0f);
  }
  /// Edges that have the size.
  DRNAS_HD int count(int size) const { return slot(size, edges); }
  /// Output channels of the size.
  DRNAS_HD int rows(int size) const { return count(size) * c; }
  /// Pixel stride of z: the rows rounded up to eight; the padding holds zeros.
  DRNAS_HD int z_channels(int size) const { return (rows(size) + 7) / 8 * 8; }
  DRNAS_HD int parts() const { return x_channels / c; }
  /// Pixel stride of the channels of x that are read.
  DRNAS_HD int read_stride() const { return apart ? c : x_channels; }
  DRNAS_HD std::int64_t pixels() const { return std::int64_t{n} * h * w; }
  DRNAS_HD std::int64_t weight_count(int size) const {
    return std::int64_t{rows(size)} * kernel[size] * kernel[size] * c;
  }
  /// One convolution an edge in place of all sizes, as large as the largest.
  DRNAS_HD ConvBundle folded() const {
    ConvBundle one = *this;
    for (int s = 1; s < sizes; ++s) {
      if (kernel[s] > one.kernel[0]) one.kernel[0] = kernel[s];
      one.present[0] |= present[s];
    }
    if (sizes > 0) one.sizes = 1;
    return one;
  }
};

/// The mixing weights of a bundle's convolutions where those of zero weight do not run, by size and
/// place among the edges that have it. All are null where all run.
struct BundleGates {
  const double* of[ConvBundle::max_sizes][ConvBundle::max_edges] = {};

  DRNAS_HD bool open(int size, int slot) const { return gate_open(of[size][slot]); }
  /// Does one of them run to which channels [first, last) of z belong?
  DRNAS_HD bool open_rows(const ConvBundle& b, int size, int first, int last) const {
    if (!of[size][0]) return true;
    last = last < b.rows(size) ? last : b.rows(size);
    for (int slot = first / b.c; slot * b.c < last; ++slot)
      if (open(size, slot)) return true;
    return false;
  }
  DRNAS_HD bool any(int size) const {
    bool found = !of[size][0];
    for (int slot = 0; slot < ConvBundle::max_edges; ++slot)
      found = found || (of[size][slot] && *of[size][slot] != 0.0);
    return found;
  }
  DRNAS_HD bool any(const ConvBundle& b) const { return any(0) || (b.sizes > 1 && any(1)); }
};

/// Forward; without sizes it does nothing. Weights [rows, k, k, c]. In training the batch
/// statistics are written and running ones moved (null: left alone); in evaluation mean and inv_std
/// come from the running statistics. T is the storage type of activations and weights: float, or
/// on CUDA bfloat16.
template <class T>
struct ConvBundleForwardOf {
  ConvBundle bundle;
  const T* x;  ///< [n, h, w, x_channels], or apart
  const T* weight[ConvBundle::max_sizes];
  T* z[ConvBundle::max_sizes];                 ///< [n, h, w, z_channels]
  float* mean[ConvBundle::max_sizes];          ///< [rows]
  float* inv_std[ConvBundle::max_sizes];       ///< [rows], 1/sqrt(var + eps)
  float* running_mean[ConvBundle::max_sizes];  ///< [rows] or null
  float* running_var[ConvBundle::max_sizes];   ///< [rows] or null
  bool training;
  float eps, momentum;
  /// The running statistics of what does not run stay. On CUDA its z is not there, its mean and
  /// inv_std are zero.
  BundleGates gates = {};

  /// Does a channel's convolution run?
  DRNAS_HD bool runs(int size, int channel) const { return gates.open(size, channel / bundle.c); }
};
using ConvBundleForward = ConvBundleForwardOf<float>;
template <Device D>
std::size_t conv_bundle_forward_workspace(const ConvBundle& p);
template <Device D>
void conv_bundle_forward(const ConvBundleForward& p, void* workspace, Stream);
/// The same on bfloat16: CUDA only. Weights are aligned to 16 bytes; statistics are those of the
/// rounded z.
template <Device D>
std::size_t conv_bundle_forward_workspace_bfloat16(const ConvBundle& p);
template <Device D>
void conv_bundle_forward(const ConvBundleForwardOf<bfloat16>& p, void* workspace, Stream);

/// Evaluation where the mixing weights are known: batch norm with its running statistics and the
/// mixing weights go into the weights, and an edge's sizes, each in the middle of the largest, into
/// one convolution. z - mean is what an edge's convolutions add to its destination:
///   z_e = sum_s theta_es inv_std_es W_es u,   mean_e = sum_s theta_es inv_std_es mean_es
/// CUDA only; without sizes it does nothing.
template <class T>
struct FoldedBundleOf {
  ConvBundle bundle;
  const T* x;
  const float* weight[ConvBundle::max_sizes];        ///< [rows, k, k, c]
  const float* running_mean[ConvBundle::max_sizes];  ///< [rows]
  const float* running_var[ConvBundle::max_sizes];
  const double* theta;
  int theta_index[ConvBundle::max_sizes][ConvBundle::max_edges];  ///< of those that are present
  T* z;         ///< [n, h, w, z_channels] of bundle.folded()
  float* mean;  ///< [rows] of bundle.folded()
  float eps;
};
template <Device D>
std::size_t folded_bundle_workspace(const FoldedBundleOf<float>& p);
template <Device D>
void folded_bundle_forward(const FoldedBundleOf<float>& p, void* workspace, Stream);
template <Device D>
std::size_t folded_bundle_workspace(const FoldedBundleOf<bfloat16>& p);
template <Device D>
void folded_bundle_forward(const FoldedBundleOf<bfloat16>& p, void* workspace, Stream);

/// What the gradient of one edge needs: the gradient of the destination node and, per kernel size,
/// the coefficients of dz = A dy + B z + C that node_mix_backward wrote (null where it lacks one).
template <class T>
struct BundleEdgeGradientOf {
  const T* dy;  ///< [n, h, w, x_channels], in the destination's (shuffled) channel order
  const float* coefficients[ConvBundle::max_sizes];  ///< [3, c]: A, B, C
  const double* skip_weight;  ///< mixing weight of the identity; null where the op is absent
  const double*
      pool_weight;  ///< mixing weight of the 3x3 average pool; null where the op is absent
  const double* bypass_weight = nullptr;  ///< of the bypassed channels; null: 1
};
using BundleEdgeGradient = BundleEdgeGradientOf<float>;

/// Backward of everything that reads x: candidate convolutions, identity, average pool and bypass.
///   dx = 1[x > 0] sum_o W_o^T dz_o + sum_e (w_skip dy_e + P^T(w_pool dy_e)),   dW_o = dz_o * u
/// dx is null when it is not wanted; otherwise overwritten. Each dweight is null when not wanted,
/// otherwise overwritten; that of what does not run is zero. Deterministic for a fixed thread
/// count.
template <class T>
struct ConvBundleBackwardOf {
  ConvBundle bundle;
  const T* x;
  const T* weight[ConvBundle::max_sizes];
  const T* z[ConvBundle::max_sizes];
  BundleEdgeGradientOf<T> edge[ConvBundle::max_edges];
  T* dx;                                  ///< [n, h, w, x_channels] or null
  float* dweight[ConvBundle::max_sizes];  ///< or null
  /// z and coefficients of what does not run need not be there.
  BundleGates gates = {};
  bool zeros_rest = false;  ///< nor do identities and pools of weight zero run
};
using ConvBundleBackward = ConvBundleBackwardOf<float>;
template <Device D>
std::size_t conv_bundle_backward_workspace(const ConvBundle& p);
template <Device D>
void conv_bundle_backward(const ConvBundleBackward& p, void* workspace, Stream);
/// The same on bfloat16: CUDA only, gradients of weights float32. dz, the identities' sum and what
/// pools average are rounded to bfloat16 on the way; by the vendor's library the convolutions'
/// shares of dx and dW as well.
template <Device D>
std::size_t conv_bundle_backward_workspace_bfloat16(const ConvBundle& p);
template <Device D>
void conv_bundle_backward(const ConvBundleBackwardOf<bfloat16>& p, void* workspace, Stream);

}  // namespace drnas::kernels
