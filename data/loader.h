// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "data/dataset.h"

namespace drnas {

/// The published split: the first half trains weights, the second half trains alpha (fixed index
/// order).
struct SearchSplit {
  std::vector<std::int32_t> weights;       ///< indices into Dataset::train
  std::vector<std::int32_t> architecture;  ///< indices into Dataset::train
};
/// `limit` > 0 keeps that many training images (both halves together, from the front) before
/// splitting; more than there are keeps all. Throws Error when fewer than two images are left.
SearchSplit split_for_search(const Dataset& dataset, std::int64_t limit);

/// How batches are made from a list of images.
struct LoaderOptions {
  int batch_size = 64;
  bool shuffle = true;  ///< a new permutation each epoch
  bool augment = true;  ///< random crop (padding size / 8: 4 at 32 pixels, 2 at 16) and horizontal
                        ///< flip; always normalised
  int cutout = 0;       ///< side of the erased square, 0 for none
  bool replacement = false;  ///< each batch is a fresh random draw without repeats inside the batch
                             ///< (alpha's batches)
  std::uint64_t seed = 0;
  int prefetch = 2;  ///< batches made ahead by a worker thread; 0 makes them in next()
};

/// A batch on the host: float32 NHWC, normalised.
struct Batch {
  int count = 0;
  int size = 32;
  std::vector<float> images;         ///< [count, size, size, 3]
  std::vector<std::int32_t> labels;  ///< [count]
};

/// Produces batches ahead of time. Batch number `step` depends only on options, the images and
/// `step`: never on threads, prefetch depth or what was read before. Position is (epoch, batch) and
/// can be set, so a resumed run sees what an uninterrupted one would have seen.
class Loader {
 public:
  /// `images` must outlive the loader. Throws Error: an option out of range, no images, an index
  /// out of range, or a batch with replacement that is larger than the number of images.
  Loader(const ImageSet& images, std::vector<std::int32_t> indices, const Dataset& constants,
         LoaderOptions options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// Batches an epoch; the last may be smaller (never so with replacement).
  std::int64_t batches() const;
  /// The batch at the position; then advances, into the next epoch after the last batch. Valid
  /// until the next call. Rethrows what went wrong in the worker, at the position it belongs to;
  /// seek() starts it again.
  const Batch& next();
  /// Position of the next batch, counted from the start of epoch 0.
  std::int64_t position() const;
  void seek(std::int64_t position);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace drnas
