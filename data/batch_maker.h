// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "data/loader.h"
#include "kernels/random/philox.h"
#include "kernels/train/augment.h"

namespace drnas {

/// What a batch holds follows from the options, the images and the batch's position alone. Loaders
/// differ in where they make it. Position is epoch * batches() + number in the epoch.
class BatchMaker {
 public:
  /// Throws the errors of Loader's constructor.
  BatchMaker(const ImageSet& images, std::vector<std::int32_t> indices, const Dataset& constants,
             const LoaderOptions& options);

  std::int64_t batches() const { return (count() + options_.batch_size - 1) / options_.batch_size; }
  /// The images of one batch: a slice of the epoch's permutation, or the head of one that belongs
  /// to the batch alone.
  std::vector<std::int32_t> choose(std::int64_t position) const;
  /// Size, crop, flip, cutout, normalisation and seed; pixels, indices, outputs and steps are left
  /// empty. For images in memory.
  kernels::Augment transform() const;
  const LoaderOptions& options() const { return options_; }
  int image_size() const { return images_.size; }

  /// On the host.
  void make(std::int64_t position, Batch& batch) const;

 private:
  std::int64_t count() const { return static_cast<std::int64_t>(indices_.size()); }
  void check() const;
  kernels::Purpose augment_purpose() const;
  void make_from_files(std::int64_t position, const std::vector<std::int32_t>& chosen,
                       Batch& batch) const;
  /// One image, [size, size, 3].
  void fill_from_file(const std::string& file, std::int64_t position, int slot, float* out) const;

  const ImageSet& images_;
  std::vector<std::int32_t> indices_;
  LoaderOptions options_;
  float mean_[3], deviation_[3];
  int threads_;  ///< that decode; batches do not depend on it
};

}  // namespace drnas
