// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kernels/core/device.h"

namespace drnas::kernels {

/// Gathers images from a uint8 set and writes a normalised float32 batch, with random crop, flip
/// and cutout. Crop: offset uniform in [-padding, padding] in both directions, pixels outside are
/// zero BEFORE normalisation (as torchvision's RandomCrop pads the uint8 image); flip with
/// probability 1/2; cutout: a square of side `cutout` around a uniform centre becomes 0 after
/// normalisation. Random words: philox(counter = (*step, Purpose::augment or Purpose::validation,
/// slot in batch, 0), key = seed).
/// On CUDA the set may lie in memory of the host that the device can address: every byte of the
/// rows that are shown is read about once, in whole aligned words of 16 bytes, which must be
/// readable at both ends of the set.
struct Augment {
  const std::uint8_t* pixels;   ///< [count, size, size, 3]
  const std::int32_t* indices;  ///< [rows, batch] images to gather; row *step - *first_step
  const std::int32_t* classes;  ///< [count] labels of all images; null: none wanted
  float* out;                   ///< [batch, size, size, 3]
  std::int32_t* labels;         ///< [batch]; null: none wanted
  int batch, size;
  int padding;  ///< 0: no crop
  bool flip;
  int cutout;  ///< 0: none
  float mean[3], deviation[3];
  std::uint64_t seed;
  std::uint32_t purpose;
  const std::uint32_t *step, *first_step;  ///< [1], read from memory; first_step null: row 0
};
template <Device D>
void augment(const Augment& p, Stream stream);

}  // namespace drnas::kernels
