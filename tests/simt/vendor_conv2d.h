// SPDX-License-Identifier: MIT
// How the stand-in of the vendor's convolutions behaves, for tests.
#pragma once

#include <cstdint>
#include <functional>
#include <set>

#include "kernels/layers/vendor_conv2d.h"

namespace simt {

struct VendorConvolutions {
  /// Are the libraries part of the build? DRNAS_SIMT_VENDOR=off in the environment: no.
  bool there = true;
  /// Calls ask for scratch whose size depends on the request, and overwrite all of it.
  bool wants_workspace = true;
  /// What the library says it cannot do; empty: it does all.
  std::function<bool(const drnas::kernels::ConvRequest&)> refuses;
  /// Batches of products that it was asked for.
  std::int64_t products = 0;
  /// Convolutions that it was asked for so far.
  std::set<drnas::kernels::ConvRequest> asked;
};
VendorConvolutions& vendor_convolutions();

}  // namespace simt
