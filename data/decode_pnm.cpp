// SPDX-License-Identifier: MIT
// Binary PGM and PPM.
#include <algorithm>
#include <cstring>

#include "data/image_decoders.h"

namespace drnas::readers {
namespace {

/// The fields of a header, one after another.
class Header {
 public:
  explicit Header(ImageBytes bytes) : bytes_(bytes) {}

  /// The next number, 1'000'000 at most, after white space and comments.
  std::int64_t number() {
    for (; at() == '#' || is_space(); ++next_)
      if (at() == '#')
        while (at() != '\n' && next_ < bytes_.size()) ++next_;
    if (!is_digit()) fail_decoding("a header without three numbers");
    std::int64_t value = 0;
    for (; is_digit(); ++next_)
      value = std::min<std::int64_t>(10 * value + (at() - '0'), 1'000'000);
    return value;
  }
  /// What lies behind the one white space that ends the header.
  ImageBytes samples() const {
    if (!is_space()) fail_decoding("cut short");
    return bytes_.subspan(next_ + 1);
  }

 private:
  char at() const { return next_ < bytes_.size() ? static_cast<char>(bytes_[next_]) : '\0'; }
  bool is_digit() const { return at() >= '0' && at() <= '9'; }
  bool is_space() const { return at() != '\0' && std::strchr(" \t\n\v\f\r", at()) != nullptr; }

  ImageBytes bytes_;
  std::size_t next_ = 2;
};

}  // namespace

void decode_pnm(ImageBytes bytes, Pixels& out) {
  Header header(bytes);
  const int channels = bytes[1] == std::byte{'6'} ? 3 : 1;
  const std::int64_t width = header.number(), height = header.number(), largest = header.number();
  if (largest < 1 || largest > 65535) fail_decoding("a largest sample outside 1 to 65535");
  const ImageBytes samples = header.samples();
  const std::int64_t sample_bytes = largest > 255 ? 2 : 1, pixel_bytes = channels * sample_bytes;
  if (static_cast<std::int64_t>(samples.size()) < width * height * pixel_bytes)
    fail_decoding("cut short");
  std::uint8_t* const pixels = out.make(width, height);
  for (std::int64_t i = 0; i < width * height; ++i)
    for (int c = 0; c < 3; ++c) {
      const std::byte* const sample =
          samples.data() + i * pixel_bytes + (channels == 3 ? c * sample_bytes : 0);
      auto value = std::to_integer<std::int64_t>(sample[0]);
      if (sample_bytes == 2) value = 256 * value + std::to_integer<std::int64_t>(sample[1]);
      // Rounded to the nearest of 0 .. 255; 8-bit samples up to 255 stay.
      pixels[3 * i + c] =
          static_cast<std::uint8_t>((std::min(value, largest) * 255 + largest / 2) / largest);
    }
}

}  // namespace drnas::readers
