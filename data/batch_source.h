// SPDX-License-Identifier: MIT
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "data/batch_maker.h"
#include "data/device_batch.h"
#include "engine/memory/pinned_memory.h"

namespace drnas {

/// Batches on a device, in the order of their positions. All kinds give the same batches bit by
/// bit.
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  /// Batches an epoch.
  virtual std::int64_t batches() const = 0;
  /// The batch at the position, which then moves on: the only call that does so. Its memory is the
  /// same for every batch of its size, so that recorded steps know it; valid until the next call.
  virtual const DeviceBatch& next() = 0;
  /// The batch that next() gave last once more, where another source may have used its memory.
  virtual const DeviceBatch& again() = 0;
  virtual void seek(std::int64_t position) = 0;
};

/// Of a search: for the weights, for alpha, for the evaluation.
struct BatchSources {
  std::unique_ptr<BatchSource> train, alpha, evaluation;
};

/// Made on the host ahead of time, then copied. `shared` memory serves sources that take turns.
class HostBatches final : public BatchSource {
 public:
  using Memory = std::map<int, DeviceBatch>;  // by count
  HostBatches(std::unique_ptr<Loader> loader, std::shared_ptr<Memory> shared, Device device)
      : loader_(std::move(loader)), memory_(std::move(shared)), device_(device) {}

  std::int64_t batches() const override { return loader_->batches(); }
  const DeviceBatch& next() override;
  const DeviceBatch& again() override { return in_memory(*last_); }
  void seek(std::int64_t position) override { loader_->seek(position); }

 private:
  const DeviceBatch& in_memory(const Batch& batch);

  std::unique_ptr<Loader> loader_;
  const Batch* last_ = nullptr;  // of next(), in the loader's memory until the one after it
  std::shared_ptr<Memory> memory_;
  Device device_;
};

/// A whole set of images as bytes, where kernels of a device can read them.
class ImageBytes {
 public:
  /// In the device's own memory.
  static std::shared_ptr<const ImageBytes> resident(const ImageSet& images, Device device);
  /// In pinned memory of the host, which CUDA's kernels read over the bus; null where the system
  /// locks no more.
  static std::shared_ptr<const ImageBytes> pinned(const ImageSet& images);

  Device device() const { return device_; }
  const std::uint8_t* pixels() const { return pixels_; }  ///< [count, size, size, 3]
  const std::int32_t* labels() const { return labels_; }  ///< [count]
  /// Of the host's memory.
  std::int64_t pinned_bytes() const;

 private:
  explicit ImageBytes(Device device) : device_(device) {}

  Device device_;
  const std::uint8_t* pixels_ = nullptr;
  const std::int32_t* labels_ = nullptr;
  Tensor resident_pixels_, resident_labels_;
  std::unique_ptr<const PinnedMemory> pinned_pixels_, pinned_labels_;
};

/// Gathered and augmented by the device from an ImageBytes, as part of the step itself: the host
/// sends an epoch's order of images and nothing else.
class GatheredBatches final : public BatchSource {
 public:
  GatheredBatches(BatchMaker maker, std::shared_ptr<const ImageBytes> images);

  std::int64_t batches() const override { return maker_.batches(); }
  const DeviceBatch& next() override;
  const DeviceBatch& again() override { return *last_; }
  void seek(std::int64_t position) override;

 private:
  void add_size(int count, std::int64_t row);
  void load_epoch();

  BatchMaker maker_;
  std::shared_ptr<const ImageBytes> images_;
  Device device_;
  Tensor order_;    // [batches, batch size] int32: images of an epoch's batches
  Tensor counter_;  // [1] uint32: position of the batch that next() gave
  Tensor first_;    // [2] uint32: positions of the epoch's first and last batch
  std::map<int, std::unique_ptr<DeviceBatch>> by_count_;
  const DeviceBatch* last_ = nullptr;
  std::int64_t position_ = 0, loaded_epoch_ = -1;
};

}  // namespace drnas
