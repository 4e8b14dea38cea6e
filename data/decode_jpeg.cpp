// SPDX-License-Identifier: MIT
// JPEG by libjpeg-turbo at its defaults, the accurate inverse transform and smooth chroma: the
// pixels that Pillow and torchvision give.
#include <cstddef>
#include <cstdio>

#include <jpeglib.h>
// jerror.h needs jpeglib.h.
#include <jerror.h>

#include <csetjmp>

#include "data/image_decoders.h"

namespace drnas::readers {
namespace {

/// More scans than any encoder writes: each costs a pass over the image, whatever it brings.
constexpr int most_scans = 500;

/// libjpeg leaves its own functions by `jump`; between setjmp and there lies nothing that needs a
/// destructor.
struct Decoder {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  jpeg_progress_mgr progress{};
  std::jmp_buf jump{};
  char message[JMSG_LENGTH_MAX] = "";

  Decoder() = default;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  ~Decoder() { jpeg_destroy_decompress(&info); }
};

[[noreturn]] void leave(j_common_ptr info) {
  auto& decoder = *static_cast<Decoder*>(info->client_data);
  info->err->format_message(info, decoder.message);
  std::longjmp(decoder.jump, 1);
}

/// What libjpeg only warns of: errors where pixels were lost, else ignored.
void take_message(j_common_ptr info, int level) {
  if (level >= 0) return;  // a trace
  switch (info->err->msg_code) {
    case JWRN_ADOBE_XFORM:
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_JFIF_MAJOR:
    case JWRN_TOO_MUCH_DATA:
      return;
    default:
      leave(info);
  }
}

void count_scans(j_common_ptr info) {
  auto& decoder = *static_cast<Decoder*>(info->client_data);
  if (decoder.info.input_scan_number <= most_scans) return;
  std::snprintf(decoder.message, sizeof(decoder.message), "more than %d scans", most_scans);
  std::longjmp(decoder.jump, 1);
}

/// False: does not decode, for the reason in decoder.message.
bool read_header(Decoder& decoder, ImageBytes bytes) {
  jpeg_decompress_struct& info = decoder.info;
  info.err = jpeg_std_error(&decoder.errors);
  info.client_data = &decoder;
  decoder.errors.error_exit = leave;
  decoder.errors.emit_message = take_message;
  decoder.progress.progress_monitor = count_scans;
  if (setjmp(decoder.jump) != 0) return false;
  jpeg_create_decompress(&info);
  info.progress = &decoder.progress;
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&info, TRUE);
  return true;
}

/// R, G, B of C, M, Y, K stored inverted: their products with K.
void to_rgb(const std::uint8_t* cmyk, std::int64_t width, std::uint8_t* rgb) {
  for (std::int64_t x = 0; x < width; ++x)
    for (int c = 0; c < 3; ++c)
      rgb[3 * x + c] = static_cast<std::uint8_t>((cmyk[4 * x + c] * cmyk[4 * x + 3] + 127) / 255);
}

/// `cmyk`: room for a row of four channels, where the file has four.
bool read_rows(Decoder& decoder, std::uint8_t* cmyk, std::uint8_t* out) {
  jpeg_decompress_struct& info = decoder.info;
  if (setjmp(decoder.jump) != 0) return false;
  info.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(&info);
  while (info.output_scanline < info.output_height) {
    std::uint8_t* const row = out + std::size_t{3} * info.output_width * info.output_scanline;
    JSAMPROW target = cmyk ? cmyk : row;
    jpeg_read_scanlines(&info, &target, 1);
    if (cmyk) to_rgb(cmyk, info.output_width, row);
  }
  jpeg_finish_decompress(&info);
  return true;
}

}  // namespace

void decode_jpeg(ImageBytes bytes, Pixels& out) {
  Decoder decoder;
  if (!read_header(decoder, bytes)) fail_decoding(decoder.message);
  std::uint8_t* const pixels = out.make(decoder.info.image_width, decoder.info.image_height);
  std::unique_ptr<std::uint8_t[]> cmyk;
  if (decoder.info.num_components == 4)
    cmyk = std::make_unique<std::uint8_t[]>(std::size_t{4} * decoder.info.image_width);
  if (!read_rows(decoder, cmyk.get(), pixels)) fail_decoding(decoder.message);
}

}  // namespace drnas::readers
