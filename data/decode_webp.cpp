// SPDX-License-Identifier: MIT
// WebP by libwebp.
#include <webp/decode.h>

#include "data/image_decoders.h"

namespace drnas::readers {
namespace {

const char* reason(VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_NOT_ENOUGH_DATA:
      return "cut short";
    case VP8_STATUS_OUT_OF_MEMORY:
      return "out of memory";
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      return "of an unknown kind";
    default:
      return "damaged";
  }
}

}  // namespace

void decode_webp(ImageBytes bytes, Pixels& out) {
  const auto* const data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  WebPDecoderConfig config;
  if (!WebPInitDecoderConfig(&config)) fail_decoding("another version of libwebp");
  VP8StatusCode status = WebPGetFeatures(data, bytes.size(), &config.input);
  if (status != VP8_STATUS_OK) fail_decoding(reason(status));
  if (config.input.has_animation) fail_decoding("an animation");
  const int width = config.input.width, height = config.input.height;
  config.output.colorspace = MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = out.make(width, height);
  config.output.u.RGBA.stride = 3 * width;
  config.output.u.RGBA.size = std::size_t{3} * width * height;
  status = WebPDecode(data, bytes.size(), &config);
  WebPFreeDecBuffer(&config.output);
  if (status != VP8_STATUS_OK) fail_decoding(reason(status));
}

}  // namespace drnas::readers
