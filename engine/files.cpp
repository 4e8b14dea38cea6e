// SPDX-License-Identifier: MIT
#include "engine/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include "kernels/core/error.h"

namespace drnas {
namespace {

[[noreturn]] void fail_with_errno(const char* what, const std::filesystem::path& path, int code) {
  throw Error(std::string("cannot ") + what + " " + path.string() + ": " + std::strerror(code));
}

/// An open file descriptor, closed at the end of its scope.
class Descriptor {
 public:
  Descriptor(const std::filesystem::path& path, int flags)
      : number_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  bool valid() const { return number_ >= 0; }
  int number() const { return number_; }
  /// Closes now and returns close()'s result: some file systems report a failed write only here.
  int close() { return ::close(std::exchange(number_, -1)); }

 private:
  int number_;
};

/// 0 or the errno of the first failure.
int write_and_sync(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  Descriptor file(path, O_WRONLY | O_CREAT | O_TRUNC);
  if (!file.valid()) return errno;
  while (!bytes.empty()) {
    const ssize_t written = ::write(file.number(), bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  if (::fsync(file.number()) != 0) return errno;
  return file.close() == 0 ? 0 : errno;
}

/// Makes a rename durable. Some file systems cannot sync a directory and say so with EINVAL.
int sync_directory(const std::filesystem::path& directory) {
  Descriptor handle(directory, O_RDONLY | O_DIRECTORY);
  if (!handle.valid()) return errno;
  return ::fsync(handle.number()) == 0 || errno == EINVAL ? 0 : errno;
}

std::filesystem::path directory_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

/// Checks that `file` is open and no directory; 0 where the size is not known in advance.
std::size_t size_to_expect(const Descriptor& file, const std::filesystem::path& path) {
  if (!file.valid()) fail_with_errno("read", path, errno);
  struct stat status {};
  if (::fstat(file.number(), &status) != 0) fail_with_errno("read", path, errno);
  if (S_ISDIR(status.st_mode)) fail_with_errno("read", path, EISDIR);
  return static_cast<std::size_t>(std::max<off_t>(status.st_size, 0));
}

/// Reads up to `count` bytes; 0 at the end of the file.
std::size_t read_some(const Descriptor& file, const std::filesystem::path& path, void* to,
                      std::size_t count) {
  for (;;) {
    const ssize_t got = ::read(file.number(), to, count);
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) fail_with_errno("read", path, errno);
  }
}

/// `Container` is std::string or std::vector<std::byte>. Pipes and files that grow meanwhile are
/// read to their end too: the first guess of the size leaves one byte to notice the end.
template <class Container>
Container read_whole(const std::filesystem::path& path) {
  const Descriptor file(path, O_RDONLY);
  Container content;
  content.resize(size_to_expect(file, path) + 1);
  std::size_t filled = 0;
  while (const std::size_t got =
             read_some(file, path, content.data() + filled, content.size() - filled)) {
    filled += got;
    if (filled == content.size()) content.resize(2 * filled);
  }
  content.resize(filled);
  return content;
}

/// By the magic number; a file too short for one goes by its name.
bool looks_like_gzip(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  if (bytes.size() < 2) return path.extension() == ".gz";
  return bytes[0] == std::byte{0x1f} && bytes[1] == std::byte{0x8b};
}

/// zlib's inflate state, released at the end of its scope.
class Inflater {
 public:
  explicit Inflater(std::span<const std::byte> input) {
    constexpr int gzip_only = MAX_WBITS + 16;
    if (inflateInit2(&stream_, gzip_only) != Z_OK) throw Error("zlib: cannot start a decompressor");
    rest_ = input;
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  /// Appends some output; returns zlib's code: Z_OK, Z_STREAM_END, or an error (Z_BUF_ERROR: the
  /// input ends early).
  int step(std::vector<std::byte>& output) {
    constexpr std::size_t chunk = std::size_t{1} << 20;
    if (stream_.avail_in == 0) {
      constexpr std::size_t most = std::numeric_limits<uInt>::max();
      const std::size_t count = std::min(rest_.size(), most);
      // zlib's input pointer lacks const, though it never writes there.
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(rest_.data()));
      stream_.avail_in = static_cast<uInt>(count);
      rest_ = rest_.subspan(count);
    }
    const std::size_t before = output.size();
    output.resize(before + chunk);
    stream_.next_out = reinterpret_cast<Bytef*>(output.data() + before);
    stream_.avail_out = static_cast<uInt>(chunk);
    const int code = inflate(&stream_, Z_NO_FLUSH);
    output.resize(before + chunk - stream_.avail_out);
    return code;
  }
  /// Input not yet consumed.
  std::size_t remaining() const { return stream_.avail_in + rest_.size(); }
  void restart() { inflateReset(&stream_); }
  const char* message() const { return stream_.msg != nullptr ? stream_.msg : "invalid data"; }

 private:
  z_stream stream_{};
  std::span<const std::byte> rest_;
};

}  // namespace

void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  std::filesystem::path temporary = path;
  temporary += ".tmp";
  int code = write_and_sync(temporary, bytes);
  if (code == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) code = errno;
  if (code != 0) {
    ::unlink(temporary.c_str());
    fail_with_errno("write", path, code);
  }
  code = sync_directory(directory_of(path));
  if (code != 0) fail_with_errno("sync the directory of", path, code);
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  write_file_atomically(path, std::as_bytes(std::span(text.data(), text.size())));
}

std::vector<std::byte> read_file(const std::filesystem::path& path) {
  return read_whole<std::vector<std::byte>>(path);
}

std::string read_text_file(const std::filesystem::path& path) {
  return read_whole<std::string>(path);
}

std::vector<std::byte> read_gzip_file(const std::filesystem::path& path) {
  std::vector<std::byte> packed = read_file(path);
  if (!looks_like_gzip(path, packed)) return packed;
  std::vector<std::byte> output;
  Inflater inflater(packed);
  // A gzip file may hold several members one after another; inflate checks each one's CRC and
  // length.
  for (;;) {
    const int code = inflater.step(output);
    if (code == Z_STREAM_END) {
      if (inflater.remaining() == 0) break;
      inflater.restart();
    } else if (code == Z_BUF_ERROR) {
      throw Error(path.string() + ": gzip data is cut short, expected more after " +
                  std::to_string(packed.size()) + " bytes");
    } else if (code != Z_OK) {
      throw Error(path.string() + ": gzip data is damaged (" + inflater.message() + ")");
    }
  }
  return output;
}

std::uint32_t checksum(std::span<const std::byte> bytes, std::uint32_t seed) {
  if (bytes.empty()) return seed;  // zlib answers 0 to a null pointer, whatever the seed
  return static_cast<std::uint32_t>(
      crc32_z(seed, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

}  // namespace drnas
