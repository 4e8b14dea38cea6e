// SPDX-License-Identifier: MIT
// Private to data/: one image file to pixels.
#pragma once

#include <cstdint>
#include <filesystem>

#include "data/image_decoders.h"
#include "data/resize.h"

namespace drnas::readers {

/// Pixels as a decoder left them, uint8 [height, width, 3].
class DecodedImage {
 public:
  /// JPEG, PNG, WebP, PNM, BMP, GIF, PSD and PIC by their first bytes, TGA by the file's name. Grey
  /// becomes three equal channels, transparency is dropped. Throws Error naming the file: of
  /// another format, damaged, cut short, or with a side above 32767 or more than 2^26 pixels, which
  /// its header tells before memory is taken.
  explicit DecodedImage(const std::filesystem::path& file);
  /// The same of `bytes`, which `file` holds.
  DecodedImage(const std::filesystem::path& file, ImageBytes bytes);

  ImageView view() const { return {pixels_.data(), width(), height(), 3 * width()}; }
  std::int64_t width() const { return pixels_.width(); }
  std::int64_t height() const { return pixels_.height(); }

 private:
  Pixels pixels_;
};

/// Whether DecodedImage reads files of this name's extension.
bool is_image_name(const std::filesystem::path& file);

/// Decodes `file` into `out`, uint8 [size, size, 3]: resized to the shorter side and cropped at the
/// centre. Throws Error naming the file.
void decode_image(const std::filesystem::path& file, int size, std::uint8_t* out);

}  // namespace drnas::readers
