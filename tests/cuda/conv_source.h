// SPDX-License-Identifier: MIT
// Whose convolutions a test runs.
#pragma once

#include <doctest/doctest.h>

#include "engine/gpu.h"
#include "kernels/layers/conv2d.h"

namespace drnas::test {

/// Runs body by our own convolutions and products, then by the vendor's where they are there.
template <class Body>
void each_source(const Body& body) {
  for (const auto source : {kernels::ConvSource::own, kernels::ConvSource::vendor}) {
    if (source == kernels::ConvSource::vendor && !has_vendor_libraries()) continue;
    kernels::set_conv_source(source);
    CAPTURE(static_cast<int>(source));
    body();
  }
  kernels::set_conv_source(kernels::ConvSource::automatic);
}

}  // namespace drnas::test
