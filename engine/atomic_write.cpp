// SPDX-License-Identifier: MIT
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <functional>
#include <random>
#include <utility>

#include "engine/descriptor.h"
#include "engine/files.h"

namespace drnas {
namespace {

constexpr std::string_view temporary_end = ".tmp";
constexpr std::size_t tag_length = 8;

std::filesystem::path directory_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

/// NAME.0123abcd.tmp: a name that no other process has, and that nobody can have put there before.
std::filesystem::path temporary_of(const std::filesystem::path& path) {
  char tag[tag_length + 1];
  std::snprintf(tag, sizeof tag, "%08x", static_cast<unsigned>(std::random_device{}()));
  std::filesystem::path temporary = path;
  temporary += std::string(".") + tag + std::string(temporary_end);
  return temporary;
}

}  // namespace

bool is_temporary_of(std::string_view name, const std::string& file) {
  if (name.size() != file.size() + 1 + tag_length + temporary_end.size()) return false;
  if (!name.starts_with(file + ".") || !name.ends_with(temporary_end)) return false;
  const std::string_view tag = name.substr(file.size() + 1, tag_length);
  return tag.find_first_not_of("0123456789abcdef") == tag.npos;
}

namespace {

/// Removes what processes that were killed have left. A writer holds a lock of its temporary file.
void remove_leftovers(const std::filesystem::path& path) {
  const std::filesystem::path directory = directory_of(path);
  DIR* const entries = ::opendir(directory.c_str());
  if (entries == nullptr) return;  // the write itself will say why
  const std::string file = path.filename().native();
  while (const dirent* entry = ::readdir(entries)) {
    if (!is_temporary_of(entry->d_name, file)) continue;
    const std::filesystem::path leftover = directory / entry->d_name;
    const Descriptor held(leftover, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (held.valid() && ::flock(held.number(), LOCK_EX | LOCK_NB) == 0) ::unlink(leftover.c_str());
  }
  ::closedir(entries);
}

/// A new file beside `path`, locked and open for writing; its name in `temporary`.
Descriptor create_temporary(const std::filesystem::path& path, std::filesystem::path& temporary) {
  for (;;) {
    temporary = temporary_of(path);
    Descriptor file(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW);
    if (!file.valid() && errno == EEXIST) continue;
    if (!file.valid()) return file;
    // Another process that cleans up may have been quicker with the lock. Where the file system has
    // no locks nothing is cleaned up.
    struct stat status {};
    const bool kept = ::flock(file.number(), LOCK_EX) != 0 ||
                      ::fstat(file.number(), &status) != 0 || status.st_nlink > 0;
    if (kept) return file;
  }
}

using Piece = std::function<std::span<const std::byte>(std::size_t)>;

/// 0 or the errno of the first failure.
int write_and_sync(const Descriptor& file, std::size_t count, const Piece& piece) {
  for (std::size_t i = 0; i < count; ++i)
    if (const int code = write_all(file.number(), piece(i)); code != 0) return code;
  return ::fsync(file.number()) == 0 ? 0 : errno;
}

/// Makes a rename durable. Some file systems cannot sync a directory and say so with EINVAL.
int sync_directory(const std::filesystem::path& directory) {
  const Descriptor handle(directory, O_RDONLY | O_DIRECTORY);
  if (!handle.valid()) return errno;
  return ::fsync(handle.number()) == 0 || errno == EINVAL ? 0 : errno;
}

/// The lock ends with the rename: a temporary name never stands without it.
int write_and_rename(const std::filesystem::path& path, std::size_t count, const Piece& piece) {
  std::filesystem::path temporary;
  const Descriptor file = create_temporary(path, temporary);
  if (!file.valid()) return errno;
  int code = write_and_sync(file, count, piece);
  if (code == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) code = errno;
  if (code != 0) ::unlink(temporary.c_str());
  return code;
}

}  // namespace

void write_file_atomically(const std::filesystem::path& path, std::size_t count,
                           const Piece& piece) {
  remove_leftovers(path);
  int code = write_and_rename(path, count, piece);
  if (code != 0) fail_with_errno("write", path, code);
  code = sync_directory(directory_of(path));
  if (code != 0) fail_with_errno("sync the directory of", path, code);
}

void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  write_file_atomically(path, 1, [&](std::size_t) { return bytes; });
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  write_file_atomically(path, std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace drnas
