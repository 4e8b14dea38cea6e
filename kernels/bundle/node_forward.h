// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/bundle/conv_bundle.h"
#include "kernels/bundle/node_mix.h"

namespace drnas::kernels {

/// CUDA only: node_mix_forward() to y, and conv_bundle_forward() of the bundle that reads x = y, in
/// one launch: a block mixes its tile and what its convolutions read around it, and only then loads
/// its filters. T is float or bfloat16.
template <class T>
bool node_forward_joins(const NodeMixOf<T>& mix, const ConvBundle& bundle);
/// bundle.x and y are the same, dense; x, z and y are aligned to 16 bytes; the workspace is that of
/// the bundle. Throws Error where they do not join.
template <class T>
void node_forward(const NodeMixOf<T>& mix, T* y, const ConvBundleForwardOf<T>& bundle,
                  void* workspace, Stream);

}  // namespace drnas::kernels
