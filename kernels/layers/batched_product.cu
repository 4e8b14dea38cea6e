// SPDX-License-Identifier: MIT
#include "kernels/layers/batched_product.h"

#include "kernels/layers/conv2d.h"
#include "kernels/layers/tile_product.h"
#include "kernels/layers/vendor_product.h"

namespace drnas::kernels {
namespace {

bool by_tiles(const BatchedProduct& p) {
  const ConvSource source = conv_source();
  if (source != ConvSource::automatic) return source == ConvSource::own;
  return p.batch == 1 || !vendor_products_there();
}

}  // namespace

void batched_product(const char* name, const BatchedProduct& p, Stream stream) {
  if (p.batch == 0) return;
  if (by_tiles(p)) return tile_product(name, p, stream);
  vendor_product(name, p, stream);
}

}  // namespace drnas::kernels
