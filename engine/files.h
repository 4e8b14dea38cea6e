// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace drnas {

/// Writes to a new file beside it, `path` + ".0123abcd.tmp", syncs file and directory, renames over
/// `path`: a reader sees the old or the new content, and of two writers one wins. Removes what
/// killed writers of `path` have left. Throws Error naming the file.
void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_file_atomically(const std::filesystem::path& path, std::string_view text);
/// `count` pieces one after another; piece(i) has to stay until the next is asked for.
void write_file_atomically(const std::filesystem::path& path, std::size_t count,
                           const std::function<std::span<const std::byte>(std::size_t)>& piece);

/// Is `name` what a temporary file of write_file_atomically() for a file of the name `file` has?
bool is_temporary_of(std::string_view name, const std::string& file);

/// The whole file, which must be a regular one; throws Error naming it when it cannot be read or
/// there is no memory for it.
std::vector<std::byte> read_file(const std::filesystem::path& path);
std::string read_text_file(const std::filesystem::path& path);

/// Decompresses a gzip file (also reads plain files), but no more than its first `most` bytes;
/// throws Error naming it when it is damaged or cut short.
std::vector<std::byte> read_gzip_file(const std::filesystem::path& path,
                                      std::size_t most = std::numeric_limits<std::size_t>::max());

/// CRC-32 (zlib's) of `bytes`, continuing from `seed`.
std::uint32_t checksum(std::span<const std::byte> bytes, std::uint32_t seed = 0);

}  // namespace drnas
