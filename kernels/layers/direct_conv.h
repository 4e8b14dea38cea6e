// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "kernels/layers/conv2d.h"

/// Convolutions of images on CUDA by multiply-adds in float32: 3x3 on three channels, stride 1 or
/// 2, which the vendor's library does badly or not at all. Same tensors as in conv2d.h.
namespace drnas::kernels {

/// Forward and weight gradient. No network asks for the gradient of its images.
bool direct_conv_takes(const Conv2d& p, ConvPass pass);

std::size_t direct_conv_workspace(const Conv2d& p, ConvPass pass);

/// y overwritten. Each value adds its 27 products in the order of the weights.
void direct_conv_forward(const Conv2d& p, const float* x, const float* w, float* y, Stream stream);

/// dw overwritten. Blocks take tiles of pixels in a fixed order and sum them in one; a second
/// kernel adds the blocks' sums in the order of blocks. Their count depends on the shape alone.
void direct_conv_backward_weight(const Conv2d& p, const float* x, const float* dy, float* dw,
                                 void* workspace, Stream stream);

}  // namespace drnas::kernels
