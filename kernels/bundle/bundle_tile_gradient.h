// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/bundle/bundle_tile_weights.h"
#include "kernels/bundle/node_mix_finish.h"

/// The convolutions' share of a node's gradient in one launch by tiles of our own, for
/// conv_bundle_backward.cu alone.
namespace drnas::kernels {

/// The reductions of the node mix that made the node, by the same blocks: dx is dy of the mix.
template <class T>
struct TileReduction {
  static constexpr int most_sources = 3;

  NodeMixBackwardOf<T> b;
  node_mix_device::Partials out;
  bool wanted = false;
};

/// p.dx += 1[x > 0] sum_s W_s^T dz_s over the sizes and edges that run; where `whole`, with the
/// identities and pools, in the place of what p.dx holds.
template <class T>
struct TileGradient {
  ConvBundleBackwardOf<T> p;
  bool whole;
  const T* dz[ConvBundle::max_sizes];         ///< [pixels, z_channels], or null: formed on load
  WeightSums sums;                            ///< added up beside it
  const NodeMixBackwardOf<T>* mix = nullptr;  ///< where `whole`, with its reductions
  void* mix_workspace = nullptr;
};

/// Are they wanted, and do they fit?
template <class T>
bool runs_gradient_tiles(const ConvBundle& b);
/// Bytes of mix_workspace; 0: the blocks cannot take the mix's reductions.
template <class T>
std::size_t tile_reduction_workspace(const ConvBundle& b, const NodeMixOf<T>& mix);
template <class T>
void bundle_tile_gradient(const TileGradient<T>& p, Stream stream);

}  // namespace drnas::kernels
