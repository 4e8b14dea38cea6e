// SPDX-License-Identifier: MIT
#include "engine/files.h"

#include <sys/stat.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "engine/descriptor.h"

namespace drnas {
namespace {

/// Checks that `file` is open and a regular one: devices and pipes may never end.
std::size_t size_of(const Descriptor& file, const std::filesystem::path& path) {
  if (!file.valid()) fail_with_errno("read", path, errno);
  struct stat status {};
  if (::fstat(file.number(), &status) != 0) fail_with_errno("read", path, errno);
  if (S_ISDIR(status.st_mode)) fail_with_errno("read", path, EISDIR);
  if (!S_ISREG(status.st_mode))
    throw Error("cannot read " + path.string() + ": is no regular file, expected one");
  return static_cast<std::size_t>(status.st_size);
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

template <class Container>
void make_room(Container& content, std::size_t bytes, const std::filesystem::path& path) {
  try {
    content.resize(bytes);
  } catch (const std::exception&) {  // std::bad_alloc, std::length_error
    throw Error("cannot read " + path.string() + ": no memory for its " + std::to_string(bytes) +
                " bytes");
  }
}

/// `Container` is std::string or std::vector<std::byte>. A file that grows meanwhile is read to its
/// end too: one byte more than its size is there to notice it. O_NONBLOCK: opening a pipe must not
/// wait for its writer.
template <class Container>
Container read_whole(const std::filesystem::path& path) {
  const Descriptor file(path, O_RDONLY | O_NONBLOCK);
  Container content;
  make_room(content, size_of(file, path) + 1, path);
  std::size_t filled = 0;
  while (const std::size_t got =
             read_some(file, path, content.data() + filled, content.size() - filled)) {
    filled += got;
    if (filled == content.size()) make_room(content, 2 * filled, path);
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

  /// Appends some output, up to `most` bytes in all; returns zlib's code: Z_OK, Z_STREAM_END, or an
  /// error (Z_BUF_ERROR: the input ends early).
  int step(std::vector<std::byte>& output, std::size_t most) {
    if (stream_.avail_in == 0) {
      constexpr std::size_t longest = std::numeric_limits<uInt>::max();
      const std::size_t count = std::min(rest_.size(), longest);
      // zlib's input pointer lacks const, though it never writes there.
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(rest_.data()));
      stream_.avail_in = static_cast<uInt>(count);
      rest_ = rest_.subspan(count);
    }
    const std::size_t room = std::min(chunk_.size(), most - output.size());
    stream_.next_out = reinterpret_cast<Bytef*>(chunk_.data());
    stream_.avail_out = static_cast<uInt>(room);
    const int code = inflate(&stream_, Z_NO_FLUSH);
    const auto end = chunk_.begin() + static_cast<std::ptrdiff_t>(room - stream_.avail_out);
    output.insert(output.end(), chunk_.begin(), end);
    return code;
  }
  /// Input not yet consumed.
  std::size_t remaining() const { return stream_.avail_in + rest_.size(); }
  void restart() { inflateReset(&stream_); }
  const char* message() const { return stream_.msg != nullptr ? stream_.msg : "invalid data"; }

 private:
  z_stream stream_{};
  std::span<const std::byte> rest_;
  std::vector<std::byte> chunk_ = std::vector<std::byte>(std::size_t{1} << 16);
};

}  // namespace

std::vector<std::byte> read_file(const std::filesystem::path& path) {
  return read_whole<std::vector<std::byte>>(path);
}

std::string read_text_file(const std::filesystem::path& path) {
  return read_whole<std::string>(path);
}

std::vector<std::byte> read_gzip_file(const std::filesystem::path& path, std::size_t most) {
  std::vector<std::byte> packed = read_file(path);
  if (!looks_like_gzip(path, packed)) {
    packed.resize(std::min(packed.size(), most));
    return packed;
  }
  std::vector<std::byte> output;
  Inflater inflater(packed);
  // A gzip file may hold several members one after another; inflate checks each one's CRC and
  // length.
  while (output.size() < most) {
    const int code = inflater.step(output, most);
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
