// SPDX-License-Identifier: MIT
#include "data/device_batch.h"

#include "engine/stream.h"

namespace drnas {

DeviceBatch::DeviceBatch(int count, int size, Device device)
    : images({count, size, size, 3}, MemoryTag::data, device),
      labels({1, 1, 1, count}, MemoryTag::data, device, DType::i32) {}

DeviceBatch::DeviceBatch(std::span<const float> pixels, std::span<const std::int32_t> classes,
                         int size, Device device)
    : DeviceBatch(static_cast<int>(classes.size()), size, device) {
  if (static_cast<std::int64_t>(pixels.size()) != images.elements())
    throw Error("batch: " + std::to_string(pixels.size()) + " pixel values do not fill " +
                to_string(images.shape()));
  assign(pixels, classes);
}

void DeviceBatch::assign(std::span<const float> pixels,
                         std::span<const std::int32_t> classes) const {
  upload(pixels, images);
  upload(classes, labels);
}

}  // namespace drnas
