// SPDX-License-Identifier: MIT
// The one translation unit that compiles stb_image: for formats that nothing else reads.
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_BMP
#define STBI_ONLY_GIF
#define STBI_ONLY_PIC
#define STBI_ONLY_PSD
#define STBI_ONLY_TGA
#define STBI_MAX_DIMENSIONS 32767
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#include <stb/stb_image.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "data/image_decoders.h"

namespace drnas::readers {
namespace {

enum class Kind { bmp, gif, psd, pic, none };

std::string_view text_of(ImageBytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// As stb_image tells them apart.
Kind kind_of(ImageBytes bytes) {
  const std::string_view text = text_of(bytes);
  if (text.starts_with("BM")) return Kind::bmp;
  if (text.starts_with("GIF87a") || text.starts_with("GIF89a")) return Kind::gif;
  if (text.starts_with("8BPS")) return Kind::psd;
  if (text.starts_with("\x53\x80\xf6\x34") && text.size() > 92 && text.substr(88, 4) == "PICT")
    return Kind::pic;
  return Kind::none;
}

/// Numbers of a header at their places; what lies behind the end is an error.
class Header {
 public:
  explicit Header(ImageBytes bytes) : bytes_(bytes) {}

  std::int64_t byte(std::size_t at) const {
    if (at >= bytes_.size()) fail_decoding("cut short");
    return std::to_integer<std::int64_t>(bytes_[at]);
  }
  std::int64_t little(std::size_t at, int count) const {
    std::int64_t value = 0;
    for (int i = count; i-- > 0;) value = 256 * value + byte(at + static_cast<std::size_t>(i));
    return value;
  }
  std::int64_t big(std::size_t at, int count) const {
    std::int64_t value = 0;
    for (int i = 0; i < count; ++i) value = 256 * value + byte(at + static_cast<std::size_t>(i));
    return value;
  }

 private:
  ImageBytes bytes_;
};

/// What a header promises: its size, how many pixels a byte of the file can stand for, and how many
/// need none.
struct Promise {
  std::int64_t width, height;
  double pixels_a_byte;
  double background = 0;
};

Promise bmp_promise(const Header& header) {
  const std::int64_t kind = header.little(14, 4);
  if (kind == 12) return {header.little(18, 2), header.little(20, 2), 8. / header.little(24, 2)};
  if (kind != 40 && kind != 56 && kind != 108 && kind != 124)
    fail_decoding("a BMP header of an unknown kind");
  const std::int64_t width = header.little(18, 4), raw = header.little(22, 4),
                     bits = header.little(28, 2);
  // A negative height: from the top down.
  const std::int64_t height = raw < (std::int64_t{1} << 31) ? raw : (std::int64_t{1} << 32) - raw;
  return {width, height, 8. / static_cast<double>(bits)};
}

Promise promise_of(ImageBytes bytes) {
  const Header header(bytes);
  switch (kind_of(bytes)) {
    case Kind::bmp:
      return bmp_promise(header);
    // A code of 12 bits stands for 4096 pixels at most. The picture may be a small part, for which
    // stb_image takes ten bytes a pixel.
    case Kind::gif:
      return {header.little(6, 2), header.little(8, 2), 4096 / 1.5, 1 << 24};
    // Runs of 128 samples in two bytes. Of four channels stb_image divides colours by the fourth,
    // without looking whether the result is one.
    case Kind::psd:
      if (header.big(12, 2) > 3) fail_decoding("a PSD image with transparency");
      return {header.big(18, 4), header.big(14, 4), 64};
    // Runs of 65535 pixels.
    default:
      return {header.big(92, 2), header.big(94, 2), 65535};
  }
}

Promise tga_promise(ImageBytes bytes) {
  const Header header(bytes);
  const std::int64_t kind = header.byte(2), bits = header.byte(16);
  const bool runs = kind >= 9 && kind <= 11;
  if ((!runs && (kind < 1 || kind > 3)) ||
      (bits != 8 && bits != 15 && bits != 16 && bits != 24 && bits != 32))
    fail_decoding("a TGA header of an unknown kind");
  const double pixel_bytes = static_cast<double>((bits + 7) / 8);
  // Runs of 128 pixels.
  return {header.little(12, 2), header.little(14, 2),
          runs ? 128 / (1 + pixel_bytes) : 1 / pixel_bytes};
}

/// Feeds stb_image and notices a decoder that asks for more than there is: stb_image itself goes on
/// with whatever it has when a file was cut short.
struct Reader {
  ImageBytes rest;
  bool overrun = false;
  const char* buffer = nullptr;  ///< stb's own, as the first call tells: what fills it may get less

  static int read(void* self, char* to, int wanted) {
    auto& reader = *static_cast<Reader*>(self);
    if (reader.buffer == nullptr) reader.buffer = to;
    const std::size_t count = std::min(reader.rest.size(), static_cast<std::size_t>(wanted));
    const bool is_short = count < static_cast<std::size_t>(wanted);
    reader.overrun |= is_short && (count == 0 || to != reader.buffer);
    if (count > 0) std::memcpy(to, reader.rest.data(), count);
    reader.rest = reader.rest.subspan(count);
    return static_cast<int>(count);
  }
  /// A negative count gives back bytes, which stb_image only does within its own buffer.
  static void skip(void* self, int count) {
    auto& reader = *static_cast<Reader*>(self);
    const auto wanted = static_cast<std::size_t>(std::max(count, 0));
    reader.overrun |= wanted > reader.rest.size();
    reader.rest = reader.rest.subspan(std::min(reader.rest.size(), wanted));
  }
  static int at_end(void* self) { return static_cast<Reader*>(self)->rest.empty(); }
};

void decode_promised(ImageBytes bytes, const Promise& promise, Pixels& out) {
  std::uint8_t* const pixels = out.make(promise.width, promise.height);
  const auto count = static_cast<double>(promise.width * promise.height);
  if (count > promise.background + promise.pixels_a_byte * static_cast<double>(bytes.size()))
    fail_decoding("cut short");
  Reader reader{.rest = bytes};
  const stbi_io_callbacks callbacks = {Reader::read, Reader::skip, Reader::at_end};
  int width = 0, height = 0, channels = 0;
  const std::unique_ptr<std::uint8_t, void (*)(void*)> decoded(
      stbi_load_from_callbacks(&callbacks, &reader, &width, &height, &channels, 4),
      stbi_image_free);
  if (!decoded) fail_decoding(stbi_failure_reason());
  if (reader.overrun) fail_decoding("cut short");
  if (width != promise.width || height != promise.height) fail_decoding("not of its header's size");
  // Four channels, as stb_image of 2022 crashes where it makes three of a PIC file that is cut
  // short.
  for (std::int64_t i = 0; i < promise.width * promise.height; ++i)
    std::copy_n(decoded.get() + 4 * i, 3, pixels + 3 * i);
}

}  // namespace

bool is_stb_image(ImageBytes bytes) { return kind_of(bytes) != Kind::none; }

void decode_stb(ImageBytes bytes, Pixels& out) { decode_promised(bytes, promise_of(bytes), out); }

void decode_tga(ImageBytes bytes, Pixels& out) { decode_promised(bytes, tga_promise(bytes), out); }

}  // namespace drnas::readers
