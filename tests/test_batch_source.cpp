// SPDX-License-Identifier: MIT
// Batches made by the device from resident images, and by the host: the same bit by bit. The host
// executor runs this file as well.
#include "data/batch_source.h"

#include <doctest/doctest.h>

#include "data/dataset.h"
#include "engine/stream.h"

using namespace drnas;

namespace {

#ifdef DRNAS_SIMT
constexpr Device device = Device::cuda;
#else
constexpr Device device = Device::cpu;
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
  ResidentBatches resident;
  HostBatches host;

  explicit Pair(const LoaderOptions& options)
      : resident(BatchMaker(dataset.train, every_other(50), dataset, options),
                 std::make_shared<const ResidentImages>(dataset.train, device)),
        host(std::make_unique<Loader>(dataset.train, every_other(50), dataset, options),
             std::make_shared<HostBatches::Memory>(), device) {}

  void compare_next() {
    const DeviceBatch &a = resident.next(), &b = host.next();
    REQUIRE(a.refresh);
    a.refresh();
    CHECK(a.images.shape() == b.images.shape());
    CHECK(download<float>(a.images) == download<float>(b.images));
    CHECK(download<std::int32_t>(a.labels) == download<std::int32_t>(b.labels));
  }
};

}  // namespace

TEST_CASE("batch source: resident batches equal the host's over epochs, tails and seeks") {
  for (const bool replacement : {false, true})
    for (const int batch_size : {5, 8, 25}) {
      CAPTURE(replacement);
      CAPTURE(batch_size);
      LoaderOptions options;
      options.batch_size = batch_size;
      options.replacement = replacement;
      options.cutout = 3;
      options.seed = 11;
      Pair pair(options);
      CHECK(pair.resident.batches() == pair.host.batches());
      for (std::int64_t i = 0; i < 2 * pair.host.batches() + 1; ++i) pair.compare_next();
      for (const std::int64_t position : {std::int64_t{0}, 5 * pair.host.batches() - 1}) {
        pair.resident.seek(position);
        pair.host.seek(position);
        pair.compare_next();
        pair.compare_next();
      }
    }
}

TEST_CASE("batch source: batches of one size share memory, sizes do not") {
  LoaderOptions options;
  options.batch_size = 10;  // 25 images: 10, 10, 5
  Pair pair(options);
  for (BatchSource* source :
       {static_cast<BatchSource*>(&pair.resident), static_cast<BatchSource*>(&pair.host)}) {
    const std::byte* first = source->next().images.bytes_begin();
    CHECK(source->next().images.bytes_begin() == first);
    const DeviceBatch& tail = source->next();
    CHECK(tail.labels.elements() == 5);
    CHECK(tail.images.bytes_begin() != first);
    CHECK(source->next().images.bytes_begin() == first);
  }
}

TEST_CASE("batch source: a negative position is refused") {
  Pair pair(LoaderOptions{});
  CHECK_THROWS_WITH_AS(pair.resident.seek(-1), "loader: position -1, expected 0 or more", Error);
}
