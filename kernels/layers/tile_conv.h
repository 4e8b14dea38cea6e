// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "kernels/layers/conv2d.h"

/// Convolutions by tiles of our own, for conv2d.cu alone. Same tensors as in conv2d.h; of bfloat16
/// the gradient of the weights is float32.
namespace drnas::kernels {

/// Do tiles fit? Only windows too large for a block's shared memory do not.
template <class T>
bool tile_conv_takes(const Conv2d& p, ConvPass pass);
template <class T>
std::size_t tile_conv_workspace(const Conv2d& p, ConvPass pass);

template <class T>
void tile_conv_forward(const Conv2d& p, const T* x, const T* w, T* y, Stream stream);
template <class T>
void tile_conv_backward_data(const Conv2d& p, const T* dy, const T* w, T* dx, Stream stream);
template <class T>
void tile_conv_backward_weight(const Conv2d& p, const T* x, const T* dy, float* dw, void* workspace,
                               Stream stream);

}  // namespace drnas::kernels
