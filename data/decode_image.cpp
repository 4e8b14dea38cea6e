// SPDX-License-Identifier: MIT
// The one translation unit that compiles stb_image.
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#include <stb/stb_image.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

#include "data/decode_image.h"
#include "engine/files.h"
#include "kernels/core/error.h"

namespace drnas::readers {
namespace {

/// Feeds stb_image and notices a decoder that asks for more than there is: stb_image itself goes on
/// with whatever it has when a JPEG or PNM file was cut short.
struct Reader {
  std::span<const std::byte> rest;
  bool overrun = false;
  int refill = 0;  ///< size of its buffer, as the first call tells; only a refill may get less

  static int read(void* self, char* to, int wanted) {
    auto& reader = *static_cast<Reader*>(self);
    if (reader.refill == 0) reader.refill = wanted;
    const std::size_t count = std::min(reader.rest.size(), static_cast<std::size_t>(wanted));
    const bool is_short = count < static_cast<std::size_t>(wanted);
    reader.overrun |= is_short && (count == 0 || wanted != reader.refill);
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

/// The largest value of a sample that the header of a binary PGM or PPM file declares; 0 for other
/// files and headers that end before it.
long largest_sample(std::span<const std::byte> bytes) {
  const auto at = [&](std::size_t i) { return i < bytes.size() ? static_cast<char>(bytes[i]) : 0; };
  if (at(0) != 'P' || (at(1) != '5' && at(1) != '6')) return 0;
  long value = 0;
  std::size_t i = 2;
  for (int field = 0; field < 3; ++field) {  // width, height, largest value
    for (; at(i) == '#' || (at(i) != 0 && std::strchr(" \t\n\v\f\r", at(i))); ++i)
      if (at(i) == '#')
        while (at(i) != '\n' && i < bytes.size()) ++i;
    if (at(i) < '0' || at(i) > '9') return 0;
    for (value = 0; at(i) >= '0' && at(i) <= '9'; ++i)
      value = std::min(10 * value + (at(i) - '0'), 1'000'000L);
  }
  return value;
}

}  // namespace

DecodedImage::DecodedImage(const std::filesystem::path& file)
    : pixels_(nullptr, [](std::uint8_t* pixels) { stbi_image_free(pixels); }) {
  const std::vector<std::byte> bytes = read_file(file);
  if (bytes.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
    throw Error(file.string() + ": expected an image of less than 2 GiB");
  }
  // stb_image of 2022 reads those wrongly, small ones past their end.
  if (largest_sample(bytes) > 255)
    throw Error(file.string() + ": a PGM or PPM file of 16-bit samples, expected 8-bit ones");
  Reader reader{.rest = bytes};
  const stbi_io_callbacks callbacks = {Reader::read, Reader::skip, Reader::at_end};
  int width = 0, height = 0, channels = 0;
  pixels_.reset(stbi_load_from_callbacks(&callbacks, &reader, &width, &height, &channels, 3));
  if (!pixels_ || reader.overrun) {
    throw Error(file.string() + ": does not decode (" +
                (pixels_ ? "cut short" : stbi_failure_reason()) +
                "), expected a JPEG, PNG, BMP, GIF, TGA, PSD, PIC or PNM image");
  }
  if (width < 1 || height < 1)
    throw Error(file.string() + ": an image of " + std::to_string(width) + " x " +
                std::to_string(height) + " pixels, expected one pixel at least");
  width_ = width;
  height_ = height;
}

ImageView DecodedImage::view() const { return {pixels_.get(), width_, height_, 3 * width_}; }

void decode_image(const std::filesystem::path& file, int size, std::uint8_t* out) {
  const DecodedImage image(file);
  if (image.width() == size && image.height() == size) {
    std::copy_n(image.view().pixels, static_cast<std::size_t>(size) * size * 3, out);
  } else {
    resize_and_crop(image.view(), size, size, out);
  }
}

}  // namespace drnas::readers
