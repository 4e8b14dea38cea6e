// SPDX-License-Identifier: MIT
// In the place of the vendor's libraries where the build leaves them out.
#include "kernels/core/error.h"
#include "kernels/layers/vendor_conv2d.h"
#include "kernels/layers/vendor_product.h"

namespace drnas::kernels {
namespace {

[[noreturn]] void miss(const std::string& what) {
  throw Error(what + ": this build has no cuDNN and cuBLAS; --conv own or auto need none");
}

}  // namespace

bool vendor_convolutions_there() { return false; }
std::size_t vendor_conv2d_workspace(const ConvRequest& request) { miss(describe(request)); }
void vendor_conv2d(const ConvRequest& request, const void*, const void*, void*, void*, Stream) {
  miss(describe(request));
}

bool vendor_products_there() { return false; }
void vendor_product(const char* name, const BatchedProduct&, Stream) { miss(name); }

}  // namespace drnas::kernels
