// SPDX-License-Identifier: MIT
// The kinds of numbers that tiles of our own multiply.
#pragma once

#include "kernels/layers/conv2d.h"
#include "tests/cuda/bfloat16.h"
#include "tests/cuda/tf32.h"
#include "tests/support/reference.h"

namespace drnas::test {

struct NumberKind {
  const char* name;
  kernels::ConvMath math;
  bool narrow;  ///< stored as bfloat16

  /// What the kernels make of these.
  void round(Doubles& values) const {
    if (narrow) values = rounded<bfloat16>(values);
    for (double& v : values)
      if (math == kernels::ConvMath::tf32) v = nearest_tf32(static_cast<float>(v));
  }
};

/// Runs body(kind) for each, in its mode.
template <class Body>
void each_number_kind(const Body& body) {
  using kernels::ConvMath;
  for (const NumberKind& kind : {NumberKind{"fp32", ConvMath::fp32, false},
                                 {"tf32", ConvMath::tf32, false},
                                 {"bf16", ConvMath::fp32, true}}) {
    CAPTURE(kind.name);
    kernels::set_conv_math(kind.math);
    body(kind);
  }
  kernels::set_conv_math(ConvMath::fp32);
}

}  // namespace drnas::test
