// SPDX-License-Identifier: MIT
#include "engine/crc32c.h"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

using drnas::crc32c;

namespace {

std::uint32_t of(const std::string& text) { return crc32c(std::as_bytes(std::span(text))); }

/// Bit by bit, as RFC 3720 defines it.
std::uint32_t bitwise(std::span<const std::byte> bytes) {
  std::uint32_t crc = 0xffffffffu;
  for (const std::byte b : bytes) {
    crc ^= std::to_integer<std::uint32_t>(b);
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? (crc >> 1) ^ 0x82f63b78u : crc >> 1;
  }
  return ~crc;
}

}  // namespace

TEST_CASE("crc32c: published values") {
  CHECK(of("123456789") == 0xe3069283u);
  CHECK(of(std::string(32, '\0')) == 0x8a9136aau);
  CHECK(of(std::string(32, '\xff')) == 0x62a8ab43u);
  CHECK(of("") == 0);
}

TEST_CASE("crc32c: every length and alignment, whole and in pieces, against the definition") {
  std::mt19937 words(5);
  std::vector<std::byte> bytes(600);
  for (std::byte& b : bytes) b = static_cast<std::byte>(words());
  for (std::size_t first = 0; first < 9; ++first)
    for (std::size_t size = 0; size + first < bytes.size(); size = size * 5 / 4 + 1) {
      const auto part = std::span<const std::byte>(bytes).subspan(first, size);
      const std::uint32_t expected = bitwise(part);
      CHECK(crc32c(part) == expected);
      const std::size_t cut = size ? words() % size : 0;
      CHECK(crc32c(part.subspan(cut), crc32c(part.first(cut))) == expected);
    }
}
