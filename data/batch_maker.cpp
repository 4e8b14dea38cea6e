// SPDX-License-Identifier: MIT
#include "data/batch_maker.h"

#include <omp.h>

#include <algorithm>
#include <limits>

#include "kernels/core/error.h"
#include "kernels/random/philox.h"

namespace drnas {

BatchMaker::BatchMaker(const ImageSet& images, std::vector<std::int32_t> indices,
                       const Dataset& constants, const LoaderOptions& options)
    : images_(images),
      indices_(std::move(indices)),
      options_(options),
      threads_(omp_get_max_threads()) {
  std::copy(constants.mean.begin(), constants.mean.end(), mean_);
  std::copy(constants.deviation.begin(), constants.deviation.end(), deviation_);
  check();
}

void BatchMaker::check() const {
  if (options_.batch_size < 1) {
    throw Error("loader: batch size " + std::to_string(options_.batch_size) +
                ", expected at least 1");
  }
  if (options_.prefetch < 0 || options_.cutout < 0) {
    throw Error("loader: prefetch " + std::to_string(options_.prefetch) + " and cutout " +
                std::to_string(options_.cutout) + ", expected 0 or more");
  }
  if (images_.on_disk() ? options_.cutout != 0 : options_.colour_jitter) {
    throw Error(images_.on_disk() ? "loader: cutout, expected none for images on disk"
                                  : "loader: colour jitter, expected none for images in memory");
  }
  if (indices_.empty()) throw Error("loader: no images, expected at least one");
  if (options_.replacement && options_.batch_size > count()) {
    throw Error("loader: batch size " + std::to_string(options_.batch_size) +
                ", expected at most " + std::to_string(count()) +
                ", the number of images to draw from");
  }
  for (std::int32_t index : indices_) {
    if (index < 0 || index >= images_.count) {
      throw Error("loader: image " + std::to_string(index) + ", expected 0 to " +
                  std::to_string(images_.count - 1));
    }
  }
}

std::vector<std::int32_t> BatchMaker::choose(std::int64_t position) const {
  if (position < 0 || position > std::numeric_limits<std::uint32_t>::max()) {
    throw Error("loader: batch " + std::to_string(position) + ", expected 0 to 2^32 - 1");
  }
  const std::int64_t epoch = position / batches();
  const std::int64_t first = options_.replacement ? 0 : position % batches() * options_.batch_size;
  const std::int64_t last = std::min(first + options_.batch_size, count());
  const kernels::RandomStream stream(options_.seed, options_.replacement
                                                        ? kernels::Purpose::validation
                                                        : kernels::Purpose::shuffle);
  const auto key = static_cast<std::uint32_t>(options_.replacement ? position : epoch);
  const auto n = static_cast<std::uint32_t>(count());
  std::vector<std::int32_t> chosen;
  chosen.reserve(static_cast<std::size_t>(last - first));
  for (std::int64_t i = first; i < last; ++i) {
    auto from = static_cast<std::uint32_t>(i);
    if (options_.replacement || options_.shuffle) from = stream.permuted(from, n, key);
    chosen.push_back(indices_[from]);
  }
  return chosen;
}

kernels::Purpose BatchMaker::augment_purpose() const {
  return options_.replacement ? kernels::Purpose::validation : kernels::Purpose::augment;
}

kernels::Augment BatchMaker::transform() const {
  kernels::Augment p{};
  p.size = images_.size;
  p.padding = options_.augment ? images_.size / 8 : 0;
  p.flip = options_.augment;
  p.cutout = options_.cutout;
  std::copy(mean_, mean_ + 3, p.mean);
  std::copy(deviation_, deviation_ + 3, p.deviation);
  p.seed = options_.seed;
  p.purpose = static_cast<std::uint32_t>(augment_purpose());
  return p;
}

void BatchMaker::make(std::int64_t position, Batch& batch) const {
  const std::vector<std::int32_t> chosen = choose(position);
  batch.count = static_cast<int>(chosen.size());
  batch.size = images_.size;
  const std::size_t side = static_cast<std::size_t>(images_.size);
  batch.images.resize(chosen.size() * side * side * 3);
  batch.labels.resize(chosen.size());
  if (images_.on_disk()) return make_from_files(position, chosen, batch);
  const auto step = static_cast<std::uint32_t>(position);
  kernels::Augment p = transform();
  p.pixels = images_.pixels.data();
  p.classes = images_.labels.data();
  p.indices = chosen.data();
  p.out = batch.images.data();
  p.labels = batch.labels.data();
  p.batch = batch.count;
  p.step = &step;
  kernels::augment<Device::cpu>(p, nullptr);
}

}  // namespace drnas
