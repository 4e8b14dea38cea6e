// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/bundle/conv_bundle.h"

/// The convolutions' share of a node's gradient in one launch by tiles of our own, for
/// conv_bundle_backward.cu alone.
namespace drnas::kernels {

/// dx += 1[x > 0] sum_s W_s^T dz_s over the sizes and edges that run.
template <class T>
struct TileGradient {
  ConvBundle bundle;
  const T* x;
  const T* weight[ConvBundle::max_sizes];
  const T* dz[ConvBundle::max_sizes];  ///< [pixels, z_channels]
  T* dx;                               ///< [pixels, x_channels]
  BundleGates gates;
};

/// Are they wanted, and do they fit? Of nodes in parts (K > 1) they are not.
template <class T>
bool runs_gradient_tiles(const ConvBundle& b);
template <class T>
void bundle_tile_gradient(const TileGradient<T>& p, Stream stream);

}  // namespace drnas::kernels
