// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <span>

#include "engine/tensor.h"

namespace drnas {

/// A batch on the device.
struct DeviceBatch {
  Tensor images;  ///< [n, size, size, 3]
  Tensor labels;  ///< [1, 1, 1, n] int32
  /// Work that fills both with the batch that its source last gave, queued at the start of a step
  /// and recorded with it; again and again the same, whatever has used the batch. Empty where they
  /// are filled already.
  std::function<void()> fill;

  /// Uninitialised.
  DeviceBatch(int count, int size, Device device);
  /// Throws Error where the pixels do not fill the labels' images.
  DeviceBatch(std::span<const float> images, std::span<const std::int32_t> labels, int size,
              Device device);
  /// Other images in the same memory, so that a recorded step can be replayed on them.
  void assign(std::span<const float> images, std::span<const std::int32_t> labels) const;
};

}  // namespace drnas
