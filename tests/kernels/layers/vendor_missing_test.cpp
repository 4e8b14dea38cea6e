// SPDX-License-Identifier: MIT
// What stands in the place of the vendor's libraries where a build leaves them out.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "kernels/core/error.h"
#include "kernels/layers/vendor_conv2d.h"
#include "kernels/layers/vendor_product.h"

using namespace drnas;
using namespace drnas::kernels;

TEST_CASE("without the vendor's libraries: what is asked for is refused by name") {
  CHECK_FALSE(vendor_convolutions_there());
  CHECK_FALSE(vendor_products_there());
  const ConvRequest request{{64, 8, 8, 16, 16, 3, 1, 1}, ConvPass::forward, ConvNumbers::bf16};
  const char* const of_convolution =
      "conv2d forward, bf16, x [64, 8, 8, 16], weights [16, 3, 3, 16], stride 1, padding 1: this "
      "build has no cuDNN and cuBLAS; --conv own or auto need none";
  CHECK_THROWS_WITH_AS(vendor_conv2d_workspace(request), of_convolution, Error);
  CHECK_THROWS_WITH_AS(vendor_conv2d(request, nullptr, nullptr, nullptr, nullptr, nullptr),
                       of_convolution, Error);
  CHECK_THROWS_WITH_AS(
      vendor_product("a product", {}, nullptr),
      "a product: this build has no cuDNN and cuBLAS; --conv own or auto need none", Error);
}
