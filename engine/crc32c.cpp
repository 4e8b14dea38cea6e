// SPDX-License-Identifier: MIT
#include "engine/crc32c.h"

#include <array>
#include <bit>
#include <cstring>

namespace drnas {
namespace {

constexpr int lanes = 8;
using Tables = std::array<std::array<std::uint32_t, 256>, lanes>;

/// tables[k][b]: what byte b does to the checksum when k bytes follow it.
constexpr Tables make_tables() {
  constexpr std::uint32_t reflected_polynomial = 0x82f63b78u;
  Tables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? reflected_polynomial : 0u);
    tables[0][byte] = crc;
  }
  for (int k = 1; k < lanes; ++k)
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t crc = tables[k - 1][byte];
      tables[k][byte] = (crc >> 8) ^ tables[0][crc & 255];
    }
  return tables;
}
constexpr Tables tables = make_tables();

static_assert(std::endian::native == std::endian::little, "eight bytes are taken as one word");

}  // namespace

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before) {
  std::uint32_t crc = ~before;
  for (; bytes.size() >= lanes; bytes = bytes.subspan(lanes)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), sizeof word);
    word ^= crc;
    crc = 0;
    for (int k = 0; k < lanes; ++k) crc ^= tables[lanes - 1 - k][word >> (8 * k) & 255];
  }
  for (const std::byte b : bytes)
    crc = (crc >> 8) ^ tables[0][(crc ^ std::to_integer<std::uint32_t>(b)) & 255];
  return ~crc;
}

}  // namespace drnas
