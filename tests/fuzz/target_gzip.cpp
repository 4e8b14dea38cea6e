// SPDX-License-Identifier: MIT
#include "engine/files.h"
#include "tests/fuzz/gzip_parts.h"

using namespace drnas;
using namespace drnas::fuzz;

namespace {

constexpr std::size_t most = 100000;

bool read(Input input) {
  static const Folder folder;
  const fs::path file = folder.write("file.gz", input);
  return accepts([&] {
    const std::vector<std::byte> content = read_gzip_file(file, most);
    require(content.size() <= most, "more bytes than asked for");
    const auto same = [&](std::span<const std::uint8_t> expected) {
      const auto bytes = std::as_bytes(expected);
      return std::equal(content.begin(), content.end(), bytes.begin(), bytes.end());
    };
    const bool is_packed = input.size() >= 2 && input[0] == 0x1f && input[1] == 0x8b;
    if (!is_packed && !input.empty())
      require(same(input.first(std::min(input.size(), most))), "a plain file changes");
  });
}

}  // namespace

DRNAS_FUZZ_TARGET(gzip, read, change_gzip)
