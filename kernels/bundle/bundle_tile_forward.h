// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "kernels/bundle/conv_bundle.h"

/// Forward passes of a bundle in one launch by tiles of our own, for conv_bundle_forward.cu and
/// folded_bundle.cu alone.
namespace drnas::kernels {

/// Are they wanted, and do the tiles of the bundle fit a block?
template <class T>
bool runs_bundle_tiles(const ConvBundle& b);

template <class T>
std::size_t bundle_tile_forward_workspace(const ConvBundle& b);
template <class T>
void bundle_tile_forward(const ConvBundleForwardOf<T>& p, void* workspace, Stream stream);

/// Folds on load: needs no workspace.
template <class T>
void folded_tile_forward(const FoldedBundleOf<T>& p, Stream stream);

}  // namespace drnas::kernels
