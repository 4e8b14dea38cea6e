// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "kernels/bundle/conv_bundle.h"

/// conv_bundle_forward in one launch by tiles of our own, for conv_bundle_forward.cu alone.
namespace drnas::kernels {

/// Do the tiles of a bundle fit a block?
template <class T>
bool bundle_tiles_take(const ConvBundle& b);
template <class T>
std::size_t bundle_tile_forward_workspace(const ConvBundle& b);
template <class T>
void bundle_tile_forward(const ConvBundleForwardOf<T>& p, void* workspace, Stream stream);

}  // namespace drnas::kernels
