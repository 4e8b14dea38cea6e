// SPDX-License-Identifier: MIT
// Private to data/: the random transforms of ImageNet's training images, as torchvision's
// RandomResizedCrop, RandomHorizontalFlip and ColorJitter.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "kernels/random/philox.h"

namespace drnas {

/// The random numbers of one slot of one batch. Attempts 0 to 9 belong to the crop's tries, 10 to
/// the flip, 11 and 12 to the colours.
struct SlotRandom {
  kernels::RandomStream stream;
  std::uint32_t step, slot;

  kernels::PhiloxWords words(std::uint32_t attempt) const {
    return stream.words(step, slot, attempt);
  }
};

/// A part of an image, pixels.
struct CropBox {
  std::int64_t left, top, width, height;
};

/// Area of 0.08 to 1 of the image, uniform; width : height of 3/4 to 4/3, log-uniform; place
/// uniform. After ten tries that do not fit, the largest box at the centre whose proportions are
/// allowed.
CropBox random_resized_crop(std::int64_t width, std::int64_t height, const SlotRandom& random);

/// With probability 1/2.
bool random_flip(const SlotRandom& random);

/// What happens to the colours of one image.
struct ColourJitter {
  enum Step : std::uint8_t { brighten, contrast_step, saturate, turn_hue };

  float brightness = 1, contrast = 1, saturation = 1;  ///< factors
  float hue = 0;                                       ///< turns of the colour circle
  std::array<Step, 4> order{brighten, contrast_step, saturate, turn_hue};

  /// Factors uniform in [0.6, 1.4], hue in [-0.2, 0.2], any order.
  static ColourJitter draw(const SlotRandom& random);
  /// `pixels` is [count, 3] of 0 to 255. Brightness: v * factor. Contrast: away from the image's
  /// mean grey. Saturation: away from the pixel's grey. Hue: turned in HSV. Each step clamps to
  /// 0..255; nothing is rounded.
  void apply(std::span<float> pixels) const;
};

}  // namespace drnas
