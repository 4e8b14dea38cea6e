// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/layers/batched_product.h"

/// Products of the vendor's library (cublas_product.cu), for batched_product.cu alone.
namespace drnas::kernels {

/// Is the library there? Opens it; the first call must not lie in a capture.
bool vendor_products_there();
void vendor_product(const char* name, const BatchedProduct& p, Stream stream);

}  // namespace drnas::kernels
