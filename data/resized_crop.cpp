// SPDX-License-Identifier: MIT
#include "data/resized_crop.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace drnas {
namespace {

constexpr std::uint32_t tries = 10;
constexpr std::uint32_t flip_attempt = tries, factor_attempt = tries + 1, order_attempt = tries + 2;
constexpr double least_aspect = 3.0 / 4, most_aspect = 4.0 / 3;
constexpr float white = 255;

double between(double low, double high, std::uint32_t word) {
  return low + (high - low) * static_cast<double>(kernels::uniform_float(word));
}

/// [0, n], for a place; the bias is below n / 2^32.
std::int64_t place(std::int64_t n, std::uint32_t word) {
  return static_cast<std::int64_t>(
      kernels::uniform_below(static_cast<std::uint32_t>(n + 1), word, 0));
}

CropBox central_box(std::int64_t width, std::int64_t height) {
  const double aspect = static_cast<double>(width) / static_cast<double>(height);
  std::int64_t w = width, h = height;
  if (aspect < least_aspect) h = std::llrint(static_cast<double>(width) / least_aspect);
  if (aspect > most_aspect) w = std::llrint(static_cast<double>(height) * most_aspect);
  return {(width - w) / 2, (height - h) / 2, w, h};
}

float grey(const float* p) { return 0.2989f * p[0] + 0.587f * p[1] + 0.114f * p[2]; }

/// other + factor * (v - other), as a mixture of both.
float mixed(float v, float other, float factor) {
  return std::clamp(factor * v + (1 - factor) * other, 0.0f, white);
}

float mean_grey(std::span<const float> pixels) {
  double sum = 0;
  for (std::size_t i = 0; i < pixels.size(); i += 3)
    sum += static_cast<double>(grey(pixels.data() + i));
  return static_cast<float>(sum / static_cast<double>(pixels.size() / 3));
}

/// Hue in turns, [0, 1), of a pixel whose channels differ by `range` > 0.
float hue_of(const float* p, float most, float range) {
  const float r = (most - p[0]) / range, g = (most - p[1]) / range, b = (most - p[2]) / range;
  const float sixths = most == p[0] ? b - g : most == p[1] ? 2 + r - b : 4 + g - r;
  return sixths < 0 ? sixths / 6 + 1 : sixths / 6;
}

void turn(float* p, float turns) {
  const float most = std::max({p[0], p[1], p[2]}), range = most - std::min({p[0], p[1], p[2]});
  if (!(range > 0)) return;  // grey has no hue
  const float saturation = range / most;
  float hue = hue_of(p, most, range) + turns;
  hue -= std::floor(hue);
  const float sixths = hue * 6, sector = std::floor(sixths), part = sixths - sector;
  const float low = most * (1 - saturation), falling = most * (1 - saturation * part),
              rising = most * (1 - saturation * (1 - part));
  const auto set = [p](float r, float g, float b) {
    p[0] = r;
    p[1] = g;
    p[2] = b;
  };
  switch (static_cast<int>(sector) % 6) {
    case 0:
      return set(most, rising, low);
    case 1:
      return set(falling, most, low);
    case 2:
      return set(low, most, rising);
    case 3:
      return set(low, falling, most);
    case 4:
      return set(rising, low, most);
    default:
      return set(most, low, falling);
  }
}

}  // namespace

CropBox random_resized_crop(std::int64_t width, std::int64_t height, const SlotRandom& random) {
  const double area = static_cast<double>(width) * static_cast<double>(height);
  for (std::uint32_t attempt = 0; attempt < tries; ++attempt) {
    const kernels::PhiloxWords drawn = random.words(attempt);
    const double target = area * between(0.08, 1.0, drawn.word[0]);
    const double aspect =
        std::exp(between(std::log(least_aspect), std::log(most_aspect), drawn.word[1]));
    const std::int64_t w = std::llrint(std::sqrt(target * aspect));
    const std::int64_t h = std::llrint(std::sqrt(target / aspect));
    if (w >= 1 && w <= width && h >= 1 && h <= height)
      return {place(width - w, drawn.word[2]), place(height - h, drawn.word[3]), w, h};
  }
  return central_box(width, height);
}

bool random_flip(const SlotRandom& random) { return random.words(flip_attempt).word[0] >> 31 != 0; }

ColourJitter ColourJitter::draw(const SlotRandom& random) {
  const kernels::PhiloxWords factors = random.words(factor_attempt),
                             places = random.words(order_attempt);
  ColourJitter jitter;
  jitter.brightness = static_cast<float>(between(0.6, 1.4, factors.word[0]));
  jitter.contrast = static_cast<float>(between(0.6, 1.4, factors.word[1]));
  jitter.saturation = static_cast<float>(between(0.6, 1.4, factors.word[2]));
  jitter.hue = static_cast<float>(between(-0.2, 0.2, factors.word[3]));
  // Fisher and Yates.
  for (std::uint32_t i = 3; i > 0; --i)
    std::swap(jitter.order[i], jitter.order[kernels::uniform_below(i + 1, places.word[i], 0)]);
  return jitter;
}

void ColourJitter::apply(std::span<float> pixels) const {
  for (const Step step : order) {
    const float mean = step == contrast_step ? mean_grey(pixels) : 0;
    for (std::size_t i = 0; i < pixels.size(); i += 3) {
      float* p = pixels.data() + i;
      if (step == turn_hue) {
        turn(p, hue);
        continue;
      }
      const float other = step == saturate ? grey(p) : mean;
      const float factor = step == brighten ? brightness : step == saturate ? saturation : contrast;
      for (int c = 0; c < 3; ++c) p[c] = mixed(p[c], other, factor);
    }
  }
}

}  // namespace drnas
