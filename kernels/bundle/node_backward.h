// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/bundle/conv_bundle.h"
#include "kernels/bundle/node_mix.h"

namespace drnas::kernels {

/// The backward pass of a bundle and the reductions of the node mix that made its node, of which
/// dy is the bundle's dx: conv_bundle_backward(), then node_mix_backward(). On CUDA they are one
/// launch where node_backward_joins(): the blocks that have made a tile of dx reduce it at once.
/// T is float, or on CUDA bfloat16.
template <Device D, class T>
bool node_backward_joins(const ConvBundle& bundle, const NodeMixOf<T>& mix);
/// Where they join.
template <Device D, class T>
std::size_t node_backward_workspace(const ConvBundle& bundle, const NodeMixOf<T>& mix);
/// mix.dy and bundle.dx are the same, dense. Throws Error where they do not join.
template <Device D, class T>
void node_backward(const ConvBundleBackwardOf<T>& bundle, const NodeMixBackwardOf<T>& mix,
                   void* workspace, Stream);

}  // namespace drnas::kernels
