// SPDX-License-Identifier: MIT
// The one translation unit that compiles stb_image.
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#include <stb/stb_image.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "data/readers.h"
#include "engine/files.h"
#include "kernels/error.h"

namespace drnas::readers {
namespace {

struct FreeImage {
  void operator()(stbi_uc* pixels) const { stbi_image_free(pixels); }
};

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

/// For one output coordinate: the first input coordinate and the weights, which sum to one.
struct Filter {
  std::int64_t first = 0;
  std::vector<float> weights;
};

/// Triangle filters of `size` output coordinates that start at `offset` in the axis resized from
/// `length` to `resized`. Coordinates are pixel centres; when shrinking the triangle spans the
/// pixels that fall together.
std::vector<Filter> triangle_filters(std::int64_t length, std::int64_t resized, std::int64_t offset,
                                     int size) {
  const double scale = static_cast<double>(length) / static_cast<double>(resized);
  const double support = std::max(scale, 1.0);
  std::vector<Filter> filters(static_cast<std::size_t>(size));
  for (int i = 0; i < size; ++i) {
    const double centre = (static_cast<double>(offset + i) + 0.5) * scale - 0.5;
    const auto first = std::max<std::int64_t>(0, std::llround(std::floor(centre - support)) + 1);
    const auto last =
        std::min<std::int64_t>(length - 1, std::llround(std::ceil(centre + support)) - 1);
    double sum = 0;
    std::vector<double> weights;
    for (std::int64_t x = first; x <= last; ++x) {
      weights.push_back(1 - std::abs(static_cast<double>(x) - centre) / support);
      sum += weights.back();
    }
    Filter& filter = filters[static_cast<std::size_t>(i)];
    filter.first = first;
    for (double w : weights) filter.weights.push_back(static_cast<float>(w / sum));
  }
  return filters;
}

/// `in` is [height, width, 3]; `out` is [size, size, 3]. Columns first, then rows.
void resize_and_crop(const std::uint8_t* in, std::int64_t width, std::int64_t height, int size,
                     std::uint8_t* out) {
  const std::int64_t shorter = std::min(width, height);
  const std::int64_t new_width = width * size / shorter, new_height = height * size / shorter;
  const auto columns = triangle_filters(width, new_width, (new_width - size) / 2, size);
  const auto rows = triangle_filters(height, new_height, (new_height - size) / 2, size);
  const std::int64_t top = rows.front().first;
  const std::int64_t bottom =
      rows.back().first + static_cast<std::int64_t>(rows.back().weights.size());
  const auto row_floats = static_cast<std::size_t>(size) * 3;
  std::vector<float> narrow(static_cast<std::size_t>(bottom - top) * row_floats);
  for (std::int64_t y = top; y < bottom; ++y) {
    float* to = narrow.data() + static_cast<std::size_t>(y - top) * row_floats;
    for (const Filter& filter : columns) {
      const std::uint8_t* from = in + (y * width + filter.first) * 3;
      float sum[3] = {0, 0, 0};
      for (float w : filter.weights) {
        for (int c = 0; c < 3; ++c) sum[c] += w * static_cast<float>(*from++);
      }
      for (int c = 0; c < 3; ++c) *to++ = sum[c];
    }
  }
  for (const Filter& filter : rows) {
    const float* from = narrow.data() + static_cast<std::size_t>(filter.first - top) * row_floats;
    for (std::size_t i = 0; i < row_floats; ++i) {
      float sum = 0;
      for (std::size_t k = 0; k < filter.weights.size(); ++k) {
        sum += filter.weights[k] * from[k * row_floats + i];
      }
      *out++ = static_cast<std::uint8_t>(std::clamp(std::lround(sum), 0L, 255L));
    }
  }
}

}  // namespace

void decode_image(const Path& file, int size, std::uint8_t* out) {
  const std::vector<std::byte> bytes = read_file(file);
  if (bytes.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
    throw Error(file.string() + ": expected an image of less than 2 GiB");
  }
  Reader reader{.rest = bytes};
  const stbi_io_callbacks callbacks = {Reader::read, Reader::skip, Reader::at_end};
  int width = 0, height = 0, channels = 0;
  const std::unique_ptr<stbi_uc, FreeImage> image(
      stbi_load_from_callbacks(&callbacks, &reader, &width, &height, &channels, 3));
  if (!image || reader.overrun) {
    throw Error(file.string() + ": does not decode (" +
                (image ? "cut short" : stbi_failure_reason()) +
                "), expected a JPEG, PNG, BMP, GIF, TGA, PSD, PIC or PNM image");
  }
  if (width == size && height == size) {
    std::memcpy(out, image.get(), static_cast<std::size_t>(size) * size * 3);
  } else {
    resize_and_crop(image.get(), width, height, size, out);
  }
}

}  // namespace drnas::readers
