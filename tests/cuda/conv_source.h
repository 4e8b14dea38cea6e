// SPDX-License-Identifier: MIT
// Whose convolutions a test runs.
#pragma once

#include <doctest/doctest.h>

#include "kernels/layers/conv2d.h"
#ifdef DRNAS_WITH_CUDA
#include "kernels/layers/vendor_conv2d.h"
#endif

namespace drnas::test {

/// Can the vendor's be run beside our own?
inline bool vendor_is_there() {
#ifdef DRNAS_WITH_CUDA
  return kernels::vendor_convolutions_there();
#else
  return false;
#endif
}

/// Runs body by our own convolutions and products, then by the vendor's where they are there.
template <class Body>
void each_source(const Body& body) {
  for (const auto source : {kernels::ConvSource::own, kernels::ConvSource::vendor}) {
    if (source == kernels::ConvSource::vendor && !vendor_is_there()) continue;
    kernels::set_conv_source(source);
    CAPTURE(static_cast<int>(source));
    body();
  }
  kernels::set_conv_source(kernels::ConvSource::automatic);
}

}  // namespace drnas::test
