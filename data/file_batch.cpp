// SPDX-License-Identifier: MIT
// Batches of images that lie on disk: read, decoded and transformed on threads of their own.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <mutex>
#include <thread>

#include "data/batch_maker.h"
#include "data/decode_image.h"
#include "data/resized_crop.h"
#include "kernels/train/augment_math.h"

namespace drnas {
namespace {

/// Calls action(slot) for 0 .. count - 1 on up to `threads` threads. They end with the batch: idle
/// ones would take time from the network's. Rethrows the failure of the lowest slot.
template <class Action>
void each_slot(int count, int threads, const Action& action) {
  std::atomic<int> next = 0;
  std::mutex mutex;
  int failed = count;
  std::exception_ptr failure;
  const auto work = [&] {
    for (int slot = next++; slot < count; slot = next++) {
      try {
        action(slot);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (slot < failed) {
          failed = slot;
          failure = std::current_exception();
        }
      }
    }
  };
  {
    std::vector<std::jthread> helpers;
    for (int i = 1; i < std::min(threads, count); ++i) helpers.emplace_back(work);
    work();
  }
  if (failure) std::rethrow_exception(failure);
}

/// Mirrors the rows of `image`, uint8 [size, size, 3].
void mirror(std::vector<std::uint8_t>& image, int size) {
  for (int y = 0; y < size; ++y) {
    std::uint8_t* row = image.data() + std::int64_t{3} * y * size;
    for (int left = 0, right = size - 1; left < right; ++left, --right)
      std::swap_ranges(row + 3 * left, row + 3 * left + 3, row + 3 * right);
  }
}

}  // namespace

void BatchMaker::fill_from_file(const std::string& file, std::int64_t position, int slot,
                                float* out) const {
  const int size = images_.size;
  const readers::DecodedImage image(file);
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(size) * size * 3);
  const std::span<float> pixels(out, bytes.size());
  if (options_.augment) {
    const SlotRandom random{{options_.seed, augment_purpose()},
                            static_cast<std::uint32_t>(position),
                            static_cast<std::uint32_t>(slot)};
    const CropBox box = random_resized_crop(image.width(), image.height(), random);
    readers::resize_to_square(image.view().part(box.left, box.top, box.width, box.height), size,
                              bytes.data());
    if (random_flip(random)) mirror(bytes, size);
    std::copy(bytes.begin(), bytes.end(), pixels.begin());
    if (options_.colour_jitter) ColourJitter::draw(random).apply(pixels);
  } else {
    readers::resize_and_crop(image.view(), size * 256 / 224, size, bytes.data());
    std::copy(bytes.begin(), bytes.end(), pixels.begin());
  }
  const kernels::Normalisation n = kernels::normalisation(transform());
  for (std::size_t i = 0; i < pixels.size(); i += 3)
    for (std::size_t c = 0; c < 3; ++c)
      pixels[i + c] = std::fma(pixels[i + c], n.scale[c], n.shift[c]);
}

void BatchMaker::make_from_files(std::int64_t position, const std::vector<std::int32_t>& chosen,
                                 Batch& batch) const {
  const std::int64_t elements = std::int64_t{3} * images_.size * images_.size;
  each_slot(batch.count, threads_, [&](int slot) {
    const auto image = static_cast<std::size_t>(chosen[static_cast<std::size_t>(slot)]);
    batch.labels[static_cast<std::size_t>(slot)] = images_.labels[image];
    fill_from_file(images_.files[image], position, slot, batch.images.data() + slot * elements);
  });
}

}  // namespace drnas
