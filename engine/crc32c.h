// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace drnas {

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4: polynomial 0x1edc6f41, reflected), which finds every
/// change of up to 32 bits in a row. `before`: that of the bytes in front, for data in pieces.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before = 0);

}  // namespace drnas
