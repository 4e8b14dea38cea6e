// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/bundle/conv_bundle.h"
#include "kernels/bundle/node_mix.h"

namespace drnas::kernels {

/// A node mix and the bundle that reads the node: node_mix_forward() to y, then
/// conv_bundle_forward() of x = y. On CUDA they are one launch where node_forward_joins(): a block
/// mixes its tile and what its convolutions read around it, and only then loads its filters.
/// T is float, or on CUDA bfloat16.
template <Device D, class T>
bool node_forward_joins(const NodeMixOf<T>& mix, const ConvBundle& bundle);
/// bundle.x and y are the same, dense; scratch is that of the bundle. Throws Error where they do
/// not join.
template <Device D, class T>
void node_forward(const NodeMixOf<T>& mix, T* y, const ConvBundleForwardOf<T>& bundle,
                  void* workspace, Stream);

}  // namespace drnas::kernels
