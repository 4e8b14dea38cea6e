// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/bfloat16.h"
#include "kernels/device.h"
#include "kernels/host_device.h"
#include "kernels/parallel.h"

namespace drnas::kernels {

/// An outgoing bundle: all candidate convolutions (1x1, 3x3, ...; stride 1, "same" padding) that
/// read one node x on all its outgoing edges, run as one convolution per kernel size with edges*c
/// output channels on u = relu(x), with the channel statistics that batch normalisation needs.
/// Reads the first c of x's channels (partial channels, PC-DARTS). Raw outputs z are kept;
/// normalised outputs never exist (see node_mix.h).
struct ConvBundle {
  static constexpr int max_sizes = 2;
  static constexpr int max_edges = 8;

  int n, h, w;
  int c;           ///< channels read, and channels of each edge's output
  int x_channels;  ///< pixel stride of x; c divides it, x_channels/c = K parts
  int edges;
  int sizes;  ///< number of kernel sizes
  int kernel[max_sizes];

  /// Pixel stride of z: edges*c rounded up to eight; the padding holds zeros.
  DRNAS_HD int z_channels() const { return (edges * c + 7) / 8 * 8; }
  DRNAS_HD int parts() const { return x_channels / c; }
  DRNAS_HD std::int64_t pixels() const { return std::int64_t{n} * h * w; }
  DRNAS_HD std::int64_t weight_count(int size) const {
    return std::int64_t{edges} * c * kernel[size] * kernel[size] * c;
  }
};

/// Forward. Weights [edges*c, k, k, c]. In training the batch statistics are written and running
/// ones moved (null: left alone); in evaluation mean and inv_std come from the running statistics.
/// T is the storage type of activations: float, or on CUDA bfloat16.
template <class T>
struct ConvBundleForwardOf {
  ConvBundle bundle;
  const T* x;  ///< [n, h, w, x_channels]
  const float* weight[ConvBundle::max_sizes];
  T* z[ConvBundle::max_sizes];                 ///< [n, h, w, z_channels]
  float* mean[ConvBundle::max_sizes];          ///< [edges*c]
  float* inv_std[ConvBundle::max_sizes];       ///< [edges*c], 1/sqrt(var + eps)
  float* running_mean[ConvBundle::max_sizes];  ///< [edges*c] or null
  float* running_var[ConvBundle::max_sizes];   ///< [edges*c] or null
  bool training;
  float eps, momentum;
};
using ConvBundleForward = ConvBundleForwardOf<float>;
template <Device D>
std::size_t conv_bundle_forward_workspace(const ConvBundle& p);
template <Device D>
void conv_bundle_forward(const ConvBundleForward& p, void* workspace, Stream);
/// The same on bfloat16 activations: CUDA only. Weights are rounded to bfloat16 first; statistics
/// are those of the rounded z.
template <Device D>
std::size_t conv_bundle_forward_workspace_bfloat16(const ConvBundle& p);
template <Device D>
void conv_bundle_forward(const ConvBundleForwardOf<bfloat16>& p, void* workspace, Stream);

/// What the gradient of one edge needs: the gradient of the destination node and, per kernel size,
/// the coefficients of dz = A dy + B z + C that node_mix_backward wrote.
template <class T>
struct BundleEdgeGradientOf {
  const T* dy;  ///< [n, h, w, x_channels], in the destination's (shuffled) channel order
  const float* coefficients[ConvBundle::max_sizes];  ///< [3, c]: A, B, C
  const double* skip_weight;  ///< mixing weight of the identity; null where the op is absent
  const double*
      pool_weight;  ///< mixing weight of the 3x3 average pool; null where the op is absent
};
using BundleEdgeGradient = BundleEdgeGradientOf<float>;

/// Backward of everything that reads x: candidate convolutions, identity, average pool and bypass.
///   dx = 1[x > 0] sum_o W_o^T dz_o + sum_e (w_skip dy_e + P^T(w_pool dy_e)),   dW_o = dz_o * u
/// dx is null when it is not wanted; otherwise overwritten. Each dweight is null when not wanted,
/// otherwise overwritten. Deterministic for a fixed thread count.
template <class T>
struct ConvBundleBackwardOf {
  ConvBundle bundle;
  const T* x;
  const float* weight[ConvBundle::max_sizes];
  const T* z[ConvBundle::max_sizes];
  BundleEdgeGradientOf<T> edge[ConvBundle::max_edges];
  T* dx;                                  ///< [n, h, w, x_channels] or null
  float* dweight[ConvBundle::max_sizes];  ///< or null
};
using ConvBundleBackward = ConvBundleBackwardOf<float>;
template <Device D>
std::size_t conv_bundle_backward_workspace(const ConvBundle& p);
template <Device D>
void conv_bundle_backward(const ConvBundleBackward& p, void* workspace, Stream);
/// The same on bfloat16 activations: CUDA only. dz, the convolutions' shares of dx, the sum of
/// everything else and dW are rounded to bfloat16 on the way.
template <Device D>
std::size_t conv_bundle_backward_workspace_bfloat16(const ConvBundle& p);
template <Device D>
void conv_bundle_backward(const ConvBundleBackwardOf<bfloat16>& p, void* workspace, Stream);

}  // namespace drnas::kernels
