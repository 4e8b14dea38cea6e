// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/error.h"

namespace drnas {

/// Where memory lives and kernels run.
enum class Device { cpu, cuda };

namespace kernels {

/// Opaque CUDA stream; ignored by the CPU twins.
using Stream = void*;

}  // namespace kernels
}  // namespace drnas
