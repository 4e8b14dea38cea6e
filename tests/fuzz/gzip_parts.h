// SPDX-License-Identifier: MIT
// Content of gzip files, to be changed and packed again.
#pragma once

#include <zlib.h>

#include <algorithm>
#include <optional>

#include "tests/fuzz/fuzz.h"

namespace drnas::fuzz {

inline constexpr int gzip_format = MAX_WBITS + 16;

/// Nothing where the file is no gzip file of one member, or holds more than 64 KiB.
inline std::optional<Bytes> unpacked(Input file) {
  if (file.size() < 2 || file[0] != 0x1f || file[1] != 0x8b) return {};
  Bytes content(65536);
  z_stream stream{};
  if (inflateInit2(&stream, gzip_format) != Z_OK) return {};
  stream.next_in = const_cast<Bytef*>(file.data());  // zlib never writes there
  stream.avail_in = static_cast<uInt>(file.size());
  stream.next_out = content.data();
  stream.avail_out = static_cast<uInt>(content.size());
  const int code = inflate(&stream, Z_FINISH);
  content.resize(stream.total_out);
  inflateEnd(&stream);
  if (code != Z_STREAM_END) return {};
  return content;
}

inline Bytes packed(const Bytes& content) {
  z_stream stream{};
  if (deflateInit2(&stream, 6, Z_DEFLATED, gzip_format, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::runtime_error("zlib: cannot start a compressor");
  Bytes file(deflateBound(&stream, content.size()));
  stream.next_in = const_cast<Bytef*>(content.data());
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = file.data();
  stream.avail_out = static_cast<uInt>(file.size());
  deflate(&stream, Z_FINISH);
  file.resize(stream.total_out);
  deflateEnd(&stream);
  return file;
}

/// Changes a file's content, where it is packed, or its bytes.
inline void change_gzip(Bytes& file, const Change& change) {
  std::optional<Bytes> content = unpacked(file);
  if (!content || change.once_in(3)) return change.bytes(file);
  change.bytes(*content);
  file = packed(*content);
}

}  // namespace drnas::fuzz
