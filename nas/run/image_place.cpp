// SPDX-License-Identifier: MIT
#include "nas/run/image_place.h"

#include <algorithm>

namespace drnas {
namespace {

/// Nothing where the system locks no more memory.
std::vector<std::shared_ptr<const ImageBytes>> pin(std::span<const ImageSet* const> sets) {
  std::vector<std::shared_ptr<const ImageBytes>> pinned;
  for (const ImageSet* set : sets) {
    pinned.push_back(ImageBytes::pinned(*set));
    if (!pinned.back()) return {};
  }
  return pinned;
}

}  // namespace

std::int64_t PlacedImages::pinned_bytes() const {
  std::int64_t sum = 0;
  for (const auto& images : pinned) sum += images->pinned_bytes();
  return sum;
}

PlacedImages place_images(Device device, std::span<const ImageSet* const> sets,
                          const std::function<bool(ImagePlace)>& fits) {
  PlacedImages images;
  const bool in_memory =
      std::none_of(sets.begin(), sets.end(), [](const ImageSet* set) { return set->on_disk(); });
  if (device == Device::cuda && in_memory) {
    images.place = ImagePlace::device;
    if (fits(ImagePlace::device)) return images;
    images.place = ImagePlace::pinned;
    if (fits(ImagePlace::pinned)) {
      images.pinned = pin(sets);
      if (!images.pinned.empty()) return images;
      std::int64_t bytes = 0;
      for (const ImageSet* set : sets) bytes += image_bytes(*set);
      images.note = "no pinned memory for the " + format_bytes(bytes) +
                    " of images: the host makes the batches";
    }
  }
  images.place = ImagePlace::host;
  fits(ImagePlace::host);
  return images;
}

std::int64_t image_bytes(const ImageSet& images) {
  return static_cast<std::int64_t>(images.pixels.size() +
                                   images.labels.size() * sizeof(images.labels[0]));
}

}  // namespace drnas
