// SPDX-License-Identifier: MIT
#include "data/resize.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace drnas::readers {
namespace {

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

/// Columns first, then rows.
void resize(const ImageView& in, const std::vector<Filter>& columns,
            const std::vector<Filter>& rows, std::uint8_t* out) {
  const std::int64_t top = rows.front().first;
  const std::int64_t bottom =
      rows.back().first + static_cast<std::int64_t>(rows.back().weights.size());
  const auto row_floats = columns.size() * 3;
  std::vector<float> narrow(static_cast<std::size_t>(bottom - top) * row_floats);
  for (std::int64_t y = top; y < bottom; ++y) {
    float* to = narrow.data() + static_cast<std::size_t>(y - top) * row_floats;
    for (const Filter& filter : columns) {
      const std::uint8_t* from = in.pixels + y * in.row_bytes + filter.first * 3;
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

void resize_to_square(const ImageView& in, int size, std::uint8_t* out) {
  resize(in, triangle_filters(in.width, size, 0, size), triangle_filters(in.height, size, 0, size),
         out);
}

void resize_and_crop(const ImageView& in, int shorter, int size, std::uint8_t* out) {
  const std::int64_t side = std::min(in.width, in.height);
  const std::int64_t width = in.width * shorter / side, height = in.height * shorter / side;
  resize(in, triangle_filters(in.width, width, (width - size) / 2, size),
         triangle_filters(in.height, height, (height - size) / 2, size), out);
}

}  // namespace drnas::readers
