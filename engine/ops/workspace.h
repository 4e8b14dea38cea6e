// SPDX-License-Identifier: MIT
#pragma once

#include "engine/tensor.h"

namespace drnas {

/// Scratch memory for one kernel call; goes back to the pool with the returned tensor. Never empty.
inline Tensor workspace(Device device, std::size_t bytes) {
  return Tensor({1, 1, 1, static_cast<std::int64_t>(bytes / sizeof(float)) + 1},
                MemoryTag::workspace, device);
}

}  // namespace drnas
