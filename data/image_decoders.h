// SPDX-License-Identifier: MIT
// Private to data/: the decoders behind DecodedImage, a file each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace drnas::readers {

using ImageBytes = std::span<const std::byte>;

/// The longest side and the most pixels that are decoded: 192 MiB, more than any photograph of
/// ImageNet (9331 x 6530).
constexpr std::int64_t longest_side = 32767, most_pixels = std::int64_t{1} << 26;

/// Pixels, uint8 [height, width, 3].
class Pixels {
 public:
  /// Room for an image of that size. Throws Error, before memory is taken, where that is no pixel
  /// or more than the limits.
  std::uint8_t* make(std::int64_t width, std::int64_t height);

  const std::uint8_t* data() const { return data_.get(); }
  std::int64_t width() const { return width_; }
  std::int64_t height() const { return height_; }

 private:
  std::unique_ptr<std::uint8_t[]> data_;
  std::int64_t width_ = 0, height_ = 0;
};

/// Throws the Error of a file that does not decode.
[[noreturn]] void fail_decoding(const std::string& why);

// Each takes the size from the header and decodes into `out`; throws Error without the file's name.
/// Baseline and progressive; CMYK as Adobe writes it, inverted.
void decode_jpeg(ImageBytes bytes, Pixels& out);
void decode_png(ImageBytes bytes, Pixels& out);
/// Lossy and lossless, no animations.
void decode_webp(ImageBytes bytes, Pixels& out);
/// Binary PGM and PPM of 8- and 16-bit samples.
void decode_pnm(ImageBytes bytes, Pixels& out);
/// What stb_image reads of BMP, GIF (its first picture), PSD and PIC; whether the first bytes say
/// that it is one of these.
bool is_stb_image(ImageBytes bytes);
void decode_stb(ImageBytes bytes, Pixels& out);
/// The same for TGA, which has no first bytes to tell it by.
void decode_tga(ImageBytes bytes, Pixels& out);

}  // namespace drnas::readers
