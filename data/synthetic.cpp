// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <numbers>

#include "data/readers.h"
#include "kernels/core/error.h"
#include "kernels/random/philox.h"

namespace drnas::readers {
namespace {

constexpr int class_count = 10;

/// Direction and frequency tell the classes apart; the colour does so only in part: five colours
/// for ten classes.
struct Pattern {
  double along_x, along_y;  ///< radians a pixel
  double colour[3];         ///< amplitude of each channel
};

Pattern pattern_of(int label, int size) {
  const double angle = std::numbers::pi * label / class_count;
  const double cycles = label % 2 == 0 ? 3 : 5;
  const double pace = 2 * std::numbers::pi * cycles / size;
  const double hue = 2 * std::numbers::pi * (label % 5) / 5;
  Pattern pattern{pace * std::cos(angle), pace * std::sin(angle), {}};
  for (int c = 0; c < 3; ++c) {
    pattern.colour[c] = 0.7 + 0.3 * std::cos(hue + 2 * std::numbers::pi * c / 3);
  }
  return pattern;
}

/// Attempt 0 of an image's element gives phase, contrast and brightness; attempts from 1 on give
/// one pixel's noise each.
void draw_image(const kernels::RandomStream& stream, bool test, std::uint32_t number, int size,
                std::uint8_t* out) {
  const Pattern pattern = pattern_of(static_cast<int>(number % class_count), size);
  const kernels::PhiloxWords look = stream.words(test, number);
  const double phase = 2 * std::numbers::pi * kernels::uniform_float(look.word[0]);
  const double contrast = 30 + 30 * kernels::uniform_float(look.word[1]);
  const double brightness = 108 + 40 * kernels::uniform_float(look.word[2]);
  std::uint32_t pixel = 0;
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) {
      const double wave = std::sin(pattern.along_x * x + pattern.along_y * y + phase);
      const kernels::PhiloxWords noise = stream.words(test, number, ++pixel);
      for (int c = 0; c < 3; ++c) {
        const double value = brightness + contrast * pattern.colour[c] * wave +
                             80 * (kernels::uniform_float(noise.word[c]) - 0.5);
        *out++ = static_cast<std::uint8_t>(std::clamp(std::lround(value), 0L, 255L));
      }
    }
  }
}

ImageSet draw_set(const DatasetOptions& options, bool test, std::int64_t count) {
  if (count < 1 || count > 1 << 24) {
    throw Error("synthetic: " + std::to_string(count) + (test ? " test" : " training") +
                " images, expected 1 to 16777216");
  }
  ImageSet set;
  set.count = count;
  set.size = options.image_size;
  const std::int64_t image_bytes = std::int64_t{3} * set.size * set.size;
  set.pixels.resize(static_cast<std::size_t>(count * image_bytes));
  set.labels.resize(static_cast<std::size_t>(count));
  const kernels::RandomStream stream(options.seed, kernels::Purpose::synthetic);
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < count; ++i) {
    set.labels[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(i % class_count);
    draw_image(stream, test, static_cast<std::uint32_t>(i), set.size,
               set.pixels.data() + i * image_bytes);
  }
  return set;
}

}  // namespace

Source find_synthetic(const DatasetInfo& info, const DatasetOptions& options) {
  Source source;
  source.image_size = options.image_size;
  source.read = [options, classes = info.classes] {
    Dataset dataset;
    dataset.classes = numbered_classes(classes, 0);
    dataset.train = draw_set(options, false, options.synthetic_train);
    dataset.test = draw_set(options, true, options.synthetic_test);
    return dataset;
  };
  return source;
}

}  // namespace drnas::readers
