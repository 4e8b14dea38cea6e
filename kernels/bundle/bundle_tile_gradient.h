// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/bundle/bundle_tile_weights.h"

/// The convolutions' share of a node's gradient in one launch by tiles of our own, for
/// conv_bundle_backward.cu alone.
namespace drnas::kernels {

/// p.dx += 1[x > 0] sum_s W_s^T dz_s over the sizes and edges that run; where `whole`, with the
/// identities and pools, in the place of what p.dx holds.
template <class T>
struct TileGradient {
  ConvBundleBackwardOf<T> p;
  bool whole;
  const T* dz[ConvBundle::max_sizes];  ///< [pixels, z_channels], or null: formed on load
  WeightSums sums;                     ///< added up beside it
};

/// Are they wanted, and do they fit?
template <class T>
bool runs_gradient_tiles(const ConvBundle& b);
template <class T>
void bundle_tile_gradient(const TileGradient<T>& p, Stream stream);

}  // namespace drnas::kernels
