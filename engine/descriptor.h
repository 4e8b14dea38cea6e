// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

#include "kernels/core/error.h"

namespace drnas {

/// An open file descriptor, closed at the end of its scope.
class Descriptor {
 public:
  /// As open(2), of which errno tells why it is not valid.
  Descriptor(const std::filesystem::path& path, int flags)
      : number_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;

  bool valid() const { return number_ >= 0; }
  int number() const { return number_; }

 private:
  int number_;
};

/// Writes all of it; 0 or the errno of the failure.
inline int write_all(int descriptor, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno != EINTR) return errno;
    if (written > 0) bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return 0;
}

/// "cannot WHAT PATH: reason".
[[noreturn]] inline void fail_with_errno(const char* what, const std::filesystem::path& path,
                                         int code) {
  throw Error(std::string("cannot ") + what + " " + path.string() + ": " + std::strerror(code));
}

}  // namespace drnas
