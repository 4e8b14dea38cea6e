// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
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
/// Lists in place of the halves, for an image folder: text files with a line <class>/<image> for
/// each image of `folder`/train. Throws Error that names the line: a file that does not exist, that
/// is no image of a class folder, or that is listed twice (in both lists, too); and an empty list.
SearchSplit split_from_lists(const Dataset& dataset, const std::filesystem::path& folder,
                             const std::filesystem::path& weights,
                             const std::filesystem::path& architecture);

/// How batches are made from a list of images. Images in memory: random crop and flip, or as they
/// are. Images on disk: random resized crop (8 % to all of the area, 3/4 to 4/3) and flip, or the
/// shorter side resized to size * 256 / 224 and the centre; decoded on as many threads as OpenMP
/// has where the loader is made.
struct LoaderOptions {
  int batch_size = 64;
  bool shuffle = true;  ///< a new permutation each epoch
  bool augment = true;  ///< random crop (padding size / 8: 4 at 32 pixels, 2 at 16) and horizontal
                        ///< flip; always normalised
  bool colour_jitter = false;  ///< with augment, images on disk only: brightness, contrast and
                               ///< saturation by 0.6 to 1.4, hue by 0.2 of the circle, in any order
  int cutout = 0;              ///< side of the erased square, 0 for none; images in memory only
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
