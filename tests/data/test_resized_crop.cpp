// SPDX-License-Identifier: MIT
// Random crops and colours of images on disk: bounds, distributions, and known colours.
#include "data/resized_crop.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

namespace drnas {
namespace {

SlotRandom random_of(std::uint32_t step, std::uint32_t slot = 0) {
  return {{7, kernels::Purpose::augment}, step, slot};
}

/// Mean of 0/1 or uniform draws lies within five standard deviations.
void check_mean(double mean, double expected, double deviation, int count) {
  CAPTURE(mean);
  CHECK(std::abs(mean - expected) < 5 * deviation / std::sqrt(count));
}

void check_pixels(const std::vector<float>& found, const std::vector<float>& expected) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    CAPTURE(i);
    CHECK(std::abs(found[i] - expected[i]) < 0.01f);
  }
}

}  // namespace

TEST_CASE("resized crop: area, proportions and place of a large image") {
  constexpr int count = 4000, side = 4000;
  double area = 0, log_aspect = 0, left = 0, top = 0;
  double least_area = 1, most_area = 0, least_aspect = 9, most_aspect = 0;
  int kept = 0;
  for (std::uint32_t step = 0; step < count; ++step) {
    const CropBox box = random_resized_crop(side, side, random_of(step));
    REQUIRE((box.left >= 0 && box.top >= 0 && box.width >= 1 && box.height >= 1));
    REQUIRE((box.left + box.width <= side && box.top + box.height <= side));
    const double w = static_cast<double>(box.width), h = static_cast<double>(box.height);
    const double share = w * h / (1.0 * side * side);
    // Rounding to pixels moves the edges by half a pixel.
    REQUIRE((share > 0.0795 && share <= 1));
    REQUIRE((w / h > 0.749 && w / h < 1.335));
    least_aspect = std::min(least_aspect, w / h);
    most_aspect = std::max(most_aspect, w / h);
    least_area = std::min(least_area, share);
    most_area = std::max(most_area, share);
    if (share > 0.7) continue;  // below, every draw fits at once: the plain distributions
    area += share;
    log_aspect += std::log(w / h);
    left += static_cast<double>(box.left) / static_cast<double>(side - box.width);
    top += static_cast<double>(box.top) / static_cast<double>(side - box.height);
    ++kept;
  }
  CHECK((least_area < 0.083 && most_area > 0.97));
  CHECK((least_aspect < 0.753 && most_aspect > 1.328));
  check_mean(area / kept, (0.08 + 0.7) / 2, 0.62 / std::sqrt(12), kept);
  check_mean(log_aspect / kept, 0, 2 * std::log(4.0 / 3) / std::sqrt(12), kept);
  check_mean(left / kept, 0.5, 1 / std::sqrt(12), kept);
  check_mean(top / kept, 0.5, 1 / std::sqrt(12), kept);
}

TEST_CASE("resized crop: an image too long for any draw is cropped at the centre") {
  // 8 % of 4000 x 10 is 3200: never less than 40 rows or columns.
  const CropBox wide = random_resized_crop(4000, 10, random_of(1));
  CHECK((wide.width == 13 && wide.height == 10 && wide.left == 1993 && wide.top == 0));
  const CropBox tall = random_resized_crop(10, 4000, random_of(1));
  CHECK((tall.width == 10 && tall.height == 13 && tall.left == 0 && tall.top == 1993));
  const CropBox pixel = random_resized_crop(1, 1, random_of(1));
  CHECK((pixel.width == 1 && pixel.height == 1 && pixel.left == 0 && pixel.top == 0));
}

TEST_CASE("resized crop: draws differ by step and slot and repeat") {
  const auto same = [](const CropBox& a, const CropBox& b) {
    return a.left == b.left && a.top == b.top && a.width == b.width && a.height == b.height;
  };
  const CropBox box = random_resized_crop(500, 400, random_of(3, 2));
  CHECK(same(box, random_resized_crop(500, 400, random_of(3, 2))));
  CHECK_FALSE(same(box, random_resized_crop(500, 400, random_of(2, 3))));
  CHECK_FALSE(same(box, random_resized_crop(500, 400, random_of(3, 3))));
}

TEST_CASE("colour jitter: flips, factors and orders are spread as they should be") {
  constexpr int count = 4800;
  double flips = 0, brightness = 0, contrast = 0, saturation = 0, hue = 0;
  std::map<std::array<ColourJitter::Step, 4>, int> orders;
  for (std::uint32_t slot = 0; slot < count; ++slot) {
    const SlotRandom random = random_of(5, slot);
    flips += random_flip(random);
    const ColourJitter jitter = ColourJitter::draw(random);
    for (const float factor : {jitter.brightness, jitter.contrast, jitter.saturation})
      REQUIRE((factor >= 0.6f && factor <= 1.4f));
    REQUIRE(std::abs(jitter.hue) <= 0.2f);
    brightness += static_cast<double>(jitter.brightness);
    contrast += static_cast<double>(jitter.contrast);
    saturation += static_cast<double>(jitter.saturation);
    hue += static_cast<double>(jitter.hue);
    ++orders[jitter.order];
  }
  check_mean(flips / count, 0.5, 0.5, count);
  check_mean(brightness / count, 1, 0.8 / std::sqrt(12), count);
  check_mean(contrast / count, 1, 0.8 / std::sqrt(12), count);
  check_mean(saturation / count, 1, 0.8 / std::sqrt(12), count);
  check_mean(hue / count, 0, 0.4 / std::sqrt(12), count);
  CHECK(orders.size() == 24);
  for (const auto& [order, times] : orders) check_mean(times / 4800.0, 1 / 24.0, 0.2, count);
}

TEST_CASE("colour jitter: what each step does to known colours") {
  const std::vector<float> start = {200, 100, 50, 10, 20, 250, 77, 77, 77};
  const auto apply = [&start](const ColourJitter& jitter) {
    std::vector<float> pixels = start;
    jitter.apply(pixels);
    return pixels;
  };
  // Neutral factors, a grey among them: nothing changes.
  check_pixels(apply(ColourJitter{}), start);

  ColourJitter jitter;
  jitter.brightness = 1.4f;
  check_pixels(apply(jitter), {255, 140, 70, 14, 28, 255, 107.8f, 107.8f, 107.8f});

  // Greys 124.18, 43.229 and 76.9923 (weights 0.2989, 0.587, 0.114): mean 81.4671.
  jitter = {};
  jitter.contrast = 0.5f;
  check_pixels(apply(jitter), {140.7336f, 90.7336f, 65.7336f, 45.7336f, 50.7336f, 165.7336f,
                               79.2336f, 79.2336f, 79.2336f});
  jitter = {};
  jitter.saturation = 0.5f;
  check_pixels(apply(jitter), {162.09f, 112.09f, 87.09f, 26.6145f, 31.6145f, 146.6145f, 76.9962f,
                               76.9962f, 76.9962f});

  // A third of the circle moves the channels on by one; a grey stays as it is.
  jitter = {};
  jitter.hue = 1 / 3.0f;
  check_pixels(apply(jitter), {50, 200, 100, 250, 10, 20, 77, 77, 77});
  jitter.hue = -1 / 3.0f;
  check_pixels(apply(jitter), {100, 50, 200, 20, 250, 10, 77, 77, 77});
  // Half of it mirrors each channel within the pixel's range.
  jitter.hue = 0.5f;
  check_pixels(apply(jitter), {50, 150, 200, 250, 240, 10, 77, 77, 77});

  // The order counts: clamped before it is darkened, and after.
  jitter = {};
  jitter.brightness = 2;
  jitter.contrast = 0;
  const float first = apply(jitter)[0];
  std::swap(jitter.order[0], jitter.order[1]);
  CHECK(std::abs(first - apply(jitter)[0]) > 1);
}

}  // namespace drnas
