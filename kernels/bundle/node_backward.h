// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/bundle/conv_bundle.h"
#include "kernels/bundle/node_mix.h"

namespace drnas::kernels {

/// CUDA only: conv_bundle_backward(), and node_mix_backward() of the mix that made the bundle's
/// node, of which dy is the bundle's dx, in one launch: the blocks that have made a tile of dx
/// reduce it at once. T is float or bfloat16.
template <class T>
bool node_backward_joins(const ConvBundle& bundle, const NodeMixOf<T>& mix);
/// Where they join.
template <class T>
std::size_t node_backward_workspace(const ConvBundle& bundle, const NodeMixOf<T>& mix);
/// mix.dy and bundle.dx are the same, dense; x, z and dy are aligned to 16 bytes. Throws Error
/// where they do not join.
template <class T>
void node_backward(const ConvBundleBackwardOf<T>& bundle, const NodeMixBackwardOf<T>& mix,
                   void* workspace, Stream);

}  // namespace drnas::kernels
