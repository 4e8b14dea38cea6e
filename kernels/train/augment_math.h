// SPDX-License-Identifier: MIT
// Per-image and per-pixel rules of augment.h, shared by the CPU loop and the CUDA kernel.
#pragma once

#include <cstdint>

#include "kernels/core/host_device.h"
#include "kernels/random/philox.h"
#include "kernels/train/augment.h"

namespace drnas::kernels {

/// Image that fills a slot of the batch.
DRNAS_HD inline std::int32_t image_of(const Augment& p, int slot) {
  const std::int64_t row = p.first_step ? *p.step - *p.first_step : 0u;
  return p.indices[row * p.batch + slot];
}

/// What happens to one image: output pixel (y, x) is input pixel (y + shift_y, source_x(x)).
struct AugmentPlan {
  int shift_y = 0, shift_x = 0;   ///< crop offset, in [-padding, padding]
  bool flip = false;              ///< the cropped image is mirrored
  int cut_top = 0, cut_left = 0;  ///< erased: [cut_top, cut_bottom) x [cut_left, cut_right)
  int cut_bottom = 0, cut_right = 0;
};

/// A word as a uniform integer in [0, n): its product's upper half; the bias is below n / 2^32.
DRNAS_HD inline int uniform_integer(std::uint32_t word, int n) {
  return static_cast<int>(static_cast<std::uint64_t>(word) * static_cast<std::uint64_t>(n) >> 32);
}

/// Word 0 and 1: crop offsets; word 2: its top bit flips, its lower bits are the row of cutout's
/// centre; word 3: the column. Cutout reaches cutout / 2 pixels up and left of the centre and is
/// clipped by the image.
DRNAS_HD inline AugmentPlan plan_augment(const Augment& p, int slot) {
  AugmentPlan plan;
  const PhiloxWords drawn =
      philox({*p.step, p.purpose, static_cast<std::uint32_t>(slot), 0}, philox_key(p.seed));
  const auto& words = drawn.word;
  if (p.padding > 0) {
    plan.shift_y = uniform_integer(words[0], 2 * p.padding + 1) - p.padding;
    plan.shift_x = uniform_integer(words[1], 2 * p.padding + 1) - p.padding;
  }
  plan.flip = p.flip && (words[2] >> 31) != 0;
  if (p.cutout > 0) {
    const int top = uniform_integer(words[2] << 1, p.size) - p.cutout / 2;
    const int left = uniform_integer(words[3], p.size) - p.cutout / 2;
    plan.cut_top = top < 0 ? 0 : top;
    plan.cut_left = left < 0 ? 0 : left;
    plan.cut_bottom = top + p.cutout > p.size ? p.size : top + p.cutout;
    plan.cut_right = left + p.cutout > p.size ? p.size : left + p.cutout;
  }
  return plan;
}

/// Column of the input that output column `x` shows; outside [0, size) it is padding.
DRNAS_HD inline int source_x(const AugmentPlan& plan, int x, int size) {
  return (plan.flip ? size - 1 - x : x) + plan.shift_x;
}

/// (v / 255 - mean) / deviation as v * scale + shift, one fused multiply-add on either device.
struct Normalisation {
  float scale[3], shift[3];
};
inline Normalisation normalisation(const Augment& p) {
  Normalisation n;
  for (int c = 0; c < 3; ++c) {
    n.scale[c] = static_cast<float>(1.0 / (255.0 * static_cast<double>(p.deviation[c])));
    n.shift[c] =
        static_cast<float>(-static_cast<double>(p.mean[c]) / static_cast<double>(p.deviation[c]));
  }
  return n;
}

}  // namespace drnas::kernels
