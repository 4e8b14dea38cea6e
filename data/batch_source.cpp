// SPDX-License-Identifier: MIT
#include "data/batch_source.h"

#include <algorithm>
#include <span>

#include "engine/stream.h"
#include "kernels/train/elementwise.h"

namespace drnas {

const DeviceBatch& HostBatches::next() {
  last_ = &loader_->next();
  return in_memory(*last_);
}

const DeviceBatch& HostBatches::in_memory(const Batch& batch) {
  const auto found = memory_->find(batch.count);
  if (found == memory_->end())
    return memory_->try_emplace(batch.count, batch.images, batch.labels, batch.size, device_)
        .first->second;
  found->second.assign(batch.images, batch.labels);
  return found->second;
}

std::shared_ptr<const ImageBytes> ImageBytes::resident(const ImageSet& images, Device device) {
  std::shared_ptr<ImageBytes> set(new ImageBytes(device));
  set->resident_pixels_ =
      Tensor({images.count, images.size, images.size, 3}, MemoryTag::data, device, DType::u8);
  set->resident_labels_ = Tensor({1, 1, 1, images.count}, MemoryTag::data, device, DType::i32);
  upload<std::uint8_t>(images.pixels, set->resident_pixels_);
  upload<std::int32_t>(images.labels, set->resident_labels_);
  set->pixels_ = set->resident_pixels_.data<std::uint8_t>();
  set->labels_ = set->resident_labels_.data<std::int32_t>();
  return set;
}

std::shared_ptr<const ImageBytes> ImageBytes::pinned(const ImageSet& images) {
  std::shared_ptr<ImageBytes> set(new ImageBytes(Device::cuda));
  const auto copy = [](const auto& values) {
    const auto bytes = std::as_bytes(std::span(values));
    std::unique_ptr<const PinnedMemory> memory = PinnedMemory::allocate(bytes.size());
    if (memory && memory->host()) std::copy(bytes.begin(), bytes.end(), memory->host());
    return memory;
  };
  set->pinned_pixels_ = copy(images.pixels);
  if (!set->pinned_pixels_) return nullptr;
  set->pinned_labels_ = copy(images.labels);
  if (!set->pinned_labels_) return nullptr;
  set->pixels_ = reinterpret_cast<const std::uint8_t*>(set->pinned_pixels_->device());
  set->labels_ = reinterpret_cast<const std::int32_t*>(set->pinned_labels_->device());
  return set;
}

std::int64_t ImageBytes::pinned_bytes() const {
  return pinned_pixels_
             ? static_cast<std::int64_t>(pinned_pixels_->bytes() + pinned_labels_->bytes())
             : 0;
}

GatheredBatches::GatheredBatches(BatchMaker maker, std::shared_ptr<const ImageBytes> images)
    : maker_(std::move(maker)), images_(std::move(images)), device_(images_->device()) {
  const std::int64_t rows = maker_.batches();
  order_ = Tensor({1, 1, rows, maker_.options().batch_size}, MemoryTag::data, device_, DType::i32);
  counter_ = Tensor::zeros({1, 1, 1, 1}, MemoryTag::data, device_, DType::u32);
  first_ = Tensor::zeros({1, 1, 1, 2}, MemoryTag::data, device_, DType::u32);
  // A smaller batch is the last of its epoch: its images stand in the last row.
  add_size(static_cast<int>(maker_.choose(0).size()), 0);
  add_size(static_cast<int>(maker_.choose(rows - 1).size()), rows - 1);
}

void GatheredBatches::add_size(int count, std::int64_t row) {
  if (by_count_.count(count)) return;
  auto batch = std::make_unique<DeviceBatch>(count, maker_.image_size(), device_);
  kernels::Augment p = maker_.transform();
  p.pixels = images_->pixels();
  p.classes = images_->labels();
  p.indices = order_.data<std::int32_t>() + row * maker_.options().batch_size;
  p.out = batch->images.data();
  p.labels = batch->labels.data<std::int32_t>();
  p.batch = count;
  p.step = counter_.data<std::uint32_t>();
  p.first_step = first_.data<std::uint32_t>() + (row ? 1 : 0);
  batch->fill = [p, device = device_] {
    dispatch(device,
             [&]<Device D>() { execute([&] { kernels::augment<D>(p, compute_stream(D)); }); });
  };
  by_count_.emplace(count, std::move(batch));
}

void GatheredBatches::load_epoch() {
  const std::int64_t rows = maker_.batches(), epoch = position_ / rows, first = epoch * rows;
  const std::int64_t size = maker_.options().batch_size;
  std::vector<std::int32_t> order(static_cast<std::size_t>(rows * size));
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::vector<std::int32_t> chosen = maker_.choose(first + row);
    std::copy(chosen.begin(), chosen.end(), order.begin() + row * size);
  }
  upload<std::int32_t>(order, order_);
  upload<std::uint32_t>(
      std::vector{static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(first + rows - 1)},
      first_);
  loaded_epoch_ = epoch;
}

void GatheredBatches::seek(std::int64_t position) {
  if (position < 0)
    throw Error("loader: position " + std::to_string(position) + ", expected 0 or more");
  position_ = position;
  loaded_epoch_ = -1;
}

const DeviceBatch& GatheredBatches::next() {
  const std::int64_t rows = maker_.batches();
  if (position_ / rows != loaded_epoch_) load_epoch();
  const bool last = position_ % rows == rows - 1;
  const auto current = static_cast<std::uint32_t>(position_++);
  dispatch(device_, [&]<Device D>() {
    execute([&] {
      kernels::set_counter<D>(current, counter_.data<std::uint32_t>(), compute_stream(D));
    });
  });
  last_ = (last ? by_count_.begin() : std::prev(by_count_.end()))->second.get();
  return *last_;
}

}  // namespace drnas
