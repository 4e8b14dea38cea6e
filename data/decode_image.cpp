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

}  // namespace

DecodedImage::DecodedImage(const std::filesystem::path& file)
    : pixels_(nullptr, [](std::uint8_t* pixels) { stbi_image_free(pixels); }) {
  const std::vector<std::byte> bytes = read_file(file);
  if (bytes.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
    throw Error(file.string() + ": expected an image of less than 2 GiB");
  }
  Reader reader{.rest = bytes};
  const stbi_io_callbacks callbacks = {Reader::read, Reader::skip, Reader::at_end};
  int width = 0, height = 0, channels = 0;
  pixels_.reset(stbi_load_from_callbacks(&callbacks, &reader, &width, &height, &channels, 3));
  if (!pixels_ || reader.overrun) {
    throw Error(file.string() + ": does not decode (" +
                (pixels_ ? "cut short" : stbi_failure_reason()) +
                "), expected a JPEG, PNG, BMP, GIF, TGA, PSD, PIC or PNM image");
  }
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
