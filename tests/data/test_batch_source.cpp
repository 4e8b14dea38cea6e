// SPDX-License-Identifier: MIT
// Batches made by the device from resident images or from the host's pinned memory, and by the
// host: the same bit by bit. The host executor runs this file as well, and alone knows pinned
// memory.
#include "data/batch_source.h"

#include <doctest/doctest.h>

#include "data/dataset.h"
#include "engine/stream.h"
#ifdef DRNAS_SIMT
#include "executor.h"
#endif

using namespace drnas;

namespace {

#ifdef DRNAS_SIMT
constexpr Device device = Device::cuda;
constexpr bool places[] = {false, true};  // pinned?
#else
constexpr Device device = Device::cpu;
constexpr bool places[] = {false};
#endif

Dataset small_dataset() {
  DatasetOptions options;
  options.name = "synthetic";
  options.image_size = 12;
  options.synthetic_train = 50;
  options.synthetic_test = 4;
  return read_dataset(options);
}

std::vector<std::int32_t> every_other(std::int32_t count) {
  std::vector<std::int32_t> indices;
  for (std::int32_t i = 1; i < count; i += 2) indices.push_back(i);
  return indices;
}

struct Pair {
  Dataset dataset = small_dataset();
  GatheredBatches gathered;
  HostBatches host;

  Pair(const LoaderOptions& options, bool pinned)
      : gathered(BatchMaker(dataset.train, every_other(50), dataset, options),
                 pinned ? ImageBytes::pinned(dataset.train)
                        : ImageBytes::resident(dataset.train, device)),
        host(std::make_unique<Loader>(dataset.train, every_other(50), dataset, options),
             std::make_shared<HostBatches::Memory>(), device) {}

  void compare_next() {
    const DeviceBatch &a = gathered.next(), &b = host.next();
    REQUIRE(a.fill);
    for (int use = 0; use < 2; ++use) {  // a batch can be used twice
      a.fill();
      compare(a, b);
    }
  }

  static void compare(const DeviceBatch& a, const DeviceBatch& b) {
    CHECK(a.images.shape() == b.images.shape());
    CHECK(download<float>(a.images) == download<float>(b.images));
    CHECK(download<std::int32_t>(a.labels) == download<std::int32_t>(b.labels));
  }
};

}  // namespace

TEST_CASE("batch source: gathered batches equal the host's over epochs, tails and seeks") {
  for (const bool pinned : places)
    for (const bool replacement : {false, true})
      for (const int batch_size : {5, 8, 25}) {
        CAPTURE(pinned);
        CAPTURE(replacement);
        CAPTURE(batch_size);
        LoaderOptions options;
        options.batch_size = batch_size;
        options.replacement = replacement;
        options.cutout = 3;
        options.seed = 11;
        Pair pair(options, pinned);
        CHECK(pair.gathered.batches() == pair.host.batches());
        for (std::int64_t i = 0; i < 2 * pair.host.batches() + 1; ++i) pair.compare_next();
        for (const std::int64_t position : {std::int64_t{0}, 5 * pair.host.batches() - 1}) {
          pair.gathered.seek(position);
          pair.host.seek(position);
          pair.compare_next();
          pair.compare_next();
        }
      }
}

TEST_CASE("batch source: batches of one size share memory, sizes do not") {
  LoaderOptions options;
  options.batch_size = 10;  // 25 images: 10, 10, 5
  Pair pair(options, false);
  for (BatchSource* source :
       {static_cast<BatchSource*>(&pair.gathered), static_cast<BatchSource*>(&pair.host)}) {
    const std::byte* first = source->next().images.bytes_begin();
    CHECK(source->next().images.bytes_begin() == first);
    const DeviceBatch& tail = source->next();
    CHECK(tail.labels.elements() == 5);
    CHECK(tail.images.bytes_begin() != first);
    CHECK(source->next().images.bytes_begin() == first);
  }
}

TEST_CASE("batch source: a negative position is refused") {
  Pair pair(LoaderOptions{}, false);
  CHECK_THROWS_WITH_AS(pair.gathered.seek(-1), "loader: position -1, expected 0 or more", Error);
}

#ifdef DRNAS_SIMT
TEST_CASE(
    "batch source: pinned images take none of the device's memory and end with their last user") {
  const Dataset dataset = small_dataset();
  const std::int64_t live = Allocator::of(device).counters().live;
  const std::size_t before = simt::pinned_bytes();
  auto images = ImageBytes::pinned(dataset.train);
  REQUIRE(images);
  CHECK(Allocator::of(device).counters().live == live);
  CHECK(simt::pinned_bytes() - before == static_cast<std::size_t>(images->pinned_bytes()));
  CHECK(images->pinned_bytes() >= 50 * (3 * 12 * 12 + 4));
  CHECK(images->pinned_bytes() < 50 * (3 * 12 * 12 + 4) + 512);
  images = nullptr;
  CHECK(simt::pinned_bytes() == before);
}

TEST_CASE(
    "batch source: where the system locks no more there are no pinned images, not even some") {
  const Dataset dataset = small_dataset();
  for (const std::size_t bytes : {std::size_t{0}, dataset.train.pixels.size() + 255}) {
    simt::set_card({.pinned_bytes = bytes});
    CHECK(ImageBytes::pinned(dataset.train) == nullptr);
    CHECK(simt::pinned_bytes() == 0);
  }
  simt::set_card({});
}
#endif
