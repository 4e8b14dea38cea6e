// SPDX-License-Identifier: MIT
// Private to data/: one image file to pixels.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "data/resize.h"

namespace drnas::readers {

/// Pixels as a decoder left them, uint8 [height, width, 3].
class DecodedImage {
 public:
  /// Any format of stb_image but PGM and PPM of 16-bit samples; grey becomes three equal channels,
  /// transparency is dropped. Throws Error naming the file.
  explicit DecodedImage(const std::filesystem::path& file);

  ImageView view() const;
  std::int64_t width() const { return width_; }
  std::int64_t height() const { return height_; }

 private:
  std::unique_ptr<std::uint8_t, void (*)(std::uint8_t*)> pixels_;
  std::int64_t width_ = 0, height_ = 0;
};

/// Decodes `file` into `out`, uint8 [size, size, 3]: resized to the shorter side and cropped at the
/// centre. Throws Error naming the file.
void decode_image(const std::filesystem::path& file, int size, std::uint8_t* out);

}  // namespace drnas::readers
