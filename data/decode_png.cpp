// SPDX-License-Identifier: MIT
// PNG by libpng.
#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>

#include "data/image_decoders.h"

namespace drnas::readers {
namespace {

/// libpng leaves its own functions by `jump`; between setjmp and there lies nothing that needs a
/// destructor.
struct Decoder {
  png_structp png = nullptr;
  png_infop info = nullptr;
  ImageBytes rest;
  std::jmp_buf jump{};
  char message[128] = "";

  explicit Decoder(ImageBytes bytes) : rest(bytes) {}
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  ~Decoder() { png_destroy_read_struct(&png, &info, nullptr); }
};

[[noreturn]] void leave(png_structp png, png_const_charp why) {
  auto& decoder = *static_cast<Decoder*>(png_get_error_ptr(png));
  std::snprintf(decoder.message, sizeof(decoder.message), "%s", why);
  std::longjmp(decoder.jump, 1);
}

/// Warnings are of what changes no pixel: sizes and checksums of the picture's own chunks are
/// errors.
void ignore(png_structp, png_const_charp) {}

void read(png_structp png, png_bytep to, std::size_t count) {
  auto& rest = static_cast<Decoder*>(png_get_io_ptr(png))->rest;
  if (count > rest.size()) png_error(png, "cut short");
  std::memcpy(to, rest.data(), count);
  rest = rest.subspan(count);
}

/// False: does not decode, for the reason in decoder.message.
bool read_header(Decoder& decoder) {
  if (setjmp(decoder.jump) != 0) return false;
  decoder.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &decoder, leave, ignore);
  if (decoder.png != nullptr) decoder.info = png_create_info_struct(decoder.png);
  if (decoder.info == nullptr) {
    std::snprintf(decoder.message, sizeof(decoder.message), "libpng cannot start");
    return false;
  }
  png_set_read_fn(decoder.png, &decoder, read);
  // Texts, profiles and the like are skipped, not unpacked.
  png_set_keep_unknown_chunks(decoder.png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_set_user_limits(decoder.png, longest_side, longest_side);
  png_read_info(decoder.png, decoder.info);
  return true;
}

bool read_rows(Decoder& decoder, std::uint8_t* out) {
  if (setjmp(decoder.jump) != 0) return false;
  const png_structp png = decoder.png;
  png_set_expand(png);
  png_set_strip_16(png);
  png_set_strip_alpha(png);
  png_set_gray_to_rgb(png);
  const int passes = png_set_interlace_handling(png);
  png_read_update_info(png, decoder.info);
  const std::size_t stride = std::size_t{3} * png_get_image_width(png, decoder.info);
  const png_uint_32 height = png_get_image_height(png, decoder.info);
  if (png_get_rowbytes(png, decoder.info) != stride) png_error(png, "of unknown colours");
  for (int pass = 0; pass < passes; ++pass)
    for (png_uint_32 y = 0; y < height; ++y) png_read_row(png, out + stride * y, nullptr);
  png_read_end(png, nullptr);
  return true;
}

}  // namespace

void decode_png(ImageBytes bytes, Pixels& out) {
  Decoder decoder(bytes);
  if (!read_header(decoder)) fail_decoding(decoder.message);
  std::uint8_t* const pixels = out.make(png_get_image_width(decoder.png, decoder.info),
                                        png_get_image_height(decoder.png, decoder.info));
  if (!read_rows(decoder, pixels)) fail_decoding(decoder.message);
}

}  // namespace drnas::readers
