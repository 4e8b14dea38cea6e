// SPDX-License-Identifier: MIT
#include "data/decode_image.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <new>
#include <string_view>

#include "engine/files.h"
#include "kernels/core/error.h"

namespace drnas::readers {
namespace {

std::string lower_extension(const std::filesystem::path& file) {
  std::string extension = file.extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return extension;
}

void decode(ImageBytes bytes, const std::string& extension, Pixels& out) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with("\xff\xd8\xff")) return decode_jpeg(bytes, out);
  if (text.starts_with("\x89PNG\r\n\x1a\n")) return decode_png(bytes, out);
  if (text.starts_with("RIFF") && text.find("WEBP") == 8) return decode_webp(bytes, out);
  if (text.starts_with("P5") || text.starts_with("P6")) return decode_pnm(bytes, out);
  if (is_stb_image(bytes)) return decode_stb(bytes, out);
  if (extension == ".tga") return decode_tga(bytes, out);
  fail_decoding("of no known format");
}

}  // namespace

std::uint8_t* Pixels::make(std::int64_t width, std::int64_t height) {
  const auto is_side = [](std::int64_t side) { return side >= 1 && side <= longest_side; };
  if (!is_side(width) || !is_side(height) || width * height > most_pixels)
    throw Error("an image of " + std::to_string(width) + " x " + std::to_string(height) +
                " pixels, expected sides of 1 to " + std::to_string(longest_side) + " and " +
                std::to_string(most_pixels) + " pixels at most");
  width_ = width;
  height_ = height;
  data_ =
      std::make_unique_for_overwrite<std::uint8_t[]>(static_cast<std::size_t>(3 * width * height));
  return data_.get();
}

void fail_decoding(const std::string& why) {
  throw Error("does not decode (" + why +
              "), expected a JPEG, PNG, WebP, PNM, BMP, GIF, TGA, PSD or PIC image");
}

DecodedImage::DecodedImage(const std::filesystem::path& file)
    : DecodedImage(file, read_file(file)) {}

DecodedImage::DecodedImage(const std::filesystem::path& file, ImageBytes bytes) {
  try {
    decode(bytes, lower_extension(file), pixels_);
  } catch (const Error& failure) {
    throw Error(file.string() + ": " + failure.what());
  } catch (const std::bad_alloc&) {
    throw Error(file.string() + ": no memory for its pixels, expected room for " +
                std::to_string(3 * pixels_.width() * pixels_.height()) + " bytes");
  }
}

bool is_image_name(const std::filesystem::path& file) {
  constexpr std::array<std::string_view, 12> known = {".jpg", ".jpeg", ".png", ".webp",
                                                      ".bmp", ".gif",  ".tga", ".psd",
                                                      ".pic", ".pnm",  ".ppm", ".pgm"};
  return std::find(known.begin(), known.end(), lower_extension(file)) != known.end();
}

void decode_image(const std::filesystem::path& file, int size, std::uint8_t* out) {
  const DecodedImage image(file);
  if (image.width() == size && image.height() == size) {
    std::copy_n(image.view().pixels, static_cast<std::size_t>(size) * size * 3, out);
  } else {
    resize_and_crop(image.view(), size, size, out);
  }
}

}  // namespace drnas::readers
