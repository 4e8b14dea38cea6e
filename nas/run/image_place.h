// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/batch_source.h"

namespace drnas {

/// Where a run's images lie: in the host's memory, where batches are made and copied; in pinned
/// memory of the host, or on the device, where the device makes batches itself.
enum class ImagePlace { host, pinned, device };

struct PlacedImages {
  ImagePlace place = ImagePlace::host;
  std::vector<std::shared_ptr<const ImageBytes>> pinned;  ///< of each set where they are pinned
  std::string note;  ///< a line on what could not be had, or empty

  /// Of the host's memory, beside the planned one.
  std::int64_t pinned_bytes() const;
};

/// Chooses the place of some sets of images: on a GPU the device where `fits` says so, else pinned
/// memory of the host, which this call allocates, and where the system gives none the host with a
/// note. Images on disk, and all on a CPU, are the host's. `fits(host)` is asked last of all and
/// throws where nothing fits; the last place asked for is the one that is taken.
PlacedImages place_images(Device device, std::span<const ImageSet* const> sets,
                          const std::function<bool(ImagePlace)>& fits);

/// Pixels and labels of a set in memory.
std::int64_t image_bytes(const ImageSet& images);

}  // namespace drnas
