// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/error.h"

namespace drnas {

/// Where memory lives and kernels run.
enum class Device { cpu, cuda };

namespace kernels {

/// Opaque CUDA stream; ignored by the CPU twins.
using Stream = void*;

#ifdef DRNAS_WITH_CUDA
inline constexpr bool has_cuda = true;
#else
inline constexpr bool has_cuda = false;
#endif

}  // namespace kernels
}  // namespace drnas
