// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

namespace drnas::kernels {

/// Shared memory that a kernel may have without asking for more, and the most that blocks of every
/// card from compute capability 8.0 on have, the system's share taken off.
inline constexpr std::size_t common_shared_bytes = 48 * 1024, most_shared_bytes = 99 * 1024;

}  // namespace drnas::kernels
