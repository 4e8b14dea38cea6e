// SPDX-License-Identifier: MIT
// How kernels of our own multiply what is stored as T, for .cu files.
#pragma once

#include <type_traits>

#include "kernels/core/warp_product.h"
#include "kernels/layers/conv2d.h"

namespace drnas::kernels {
namespace {

/// Calls body.template operator()<Numbers>() for how T is multiplied.
template <class T, class Body>
auto with_numbers(const Body& body) {
  if constexpr (!std::is_same_v<T, float>)
    return body.template operator()<Bfloat16Numbers>();
  else if (conv_math() == ConvMath::tf32)
    return body.template operator()<Tf32Numbers>();
  else
    return body.template operator()<Fp32Numbers>();
}

}  // namespace
}  // namespace drnas::kernels
