// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/bundle/conv_bundle.h"

/// The gradient of a bundle's weights by tiles of our own, for conv_bundle_backward.cu and
/// bundle_tile_gradient.cu alone.
namespace drnas::kernels {

/// What is left to add: of each weight the parts that blocks left.
struct WeightSums {
  const float* parts = nullptr;  ///< [shares][weights of all sizes]
  int shares = 0;
  std::int64_t weights = 0;  ///< of all sizes
  int slot_weights[ConvBundle::max_sizes] = {};
  std::int64_t first_size = 0;  ///< weights of size 0
  float* to[ConvBundle::max_sizes] = {};
  BundleGates gates;
};

template <class T>
struct TileWeights {
  ConvBundleBackwardOf<T> p;
  const T* dz[ConvBundle::max_sizes];  ///< [pixels, z_channels], or null: formed on load
  float* parts;
};

/// Of bundles with sizes: can dz be formed as it is loaded? Chunks lie in one edge, and no channels
/// are shuffled.
inline bool forms_differential(const ConvBundle& b) {
  return b.sizes > 0 && b.parts() == 1 && b.c % 8 == 0;
}
/// Are they wanted, and do they fit?
template <class T>
bool runs_weight_tiles(const ConvBundle& b);
/// Floats of the parts.
template <class T>
std::int64_t weight_parts(const ConvBundle& b);
/// Leaves parts. Where there is dz, that of what does not run is zero.
template <class T>
WeightSums bundle_tile_weights(const TileWeights<T>& p, Stream stream);
/// Adds them up; of what does not run the gradient is zero.
void bundle_add_weights(const WeightSums& sums, Stream stream);

}  // namespace drnas::kernels
