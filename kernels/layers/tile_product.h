// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/layers/batched_product.h"

/// Batched products by tiles of our own, for batched_product.cu alone.
namespace drnas::kernels {

/// The order of a sum does not depend on the batch. In the mode of conv_math() unless p.exact.
void tile_product(const char* name, const BatchedProduct& p, Stream stream);

}  // namespace drnas::kernels
