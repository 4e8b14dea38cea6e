// SPDX-License-Identifier: MIT
#include "data/loader.h"

#include <omp.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <set>
#include <thread>

#include "tests/data/data_files.h"

namespace drnas {
namespace {

using test_files::check_error;

/// Synthetic images whose label is their index, so that a batch tells what it was made from.
Dataset numbered(int count) {
  DatasetOptions options;
  options.name = "synthetic";
  options.synthetic_train = count;
  options.synthetic_test = 1;
  options.image_size = 16;
  Dataset dataset = read_dataset(options);
  std::iota(dataset.train.labels.begin(), dataset.train.labels.end(), 0);
  return dataset;
}

std::vector<std::int32_t> range(int first, int last) {
  std::vector<std::int32_t> indices(static_cast<std::size_t>(last - first));
  std::iota(indices.begin(), indices.end(), first);
  return indices;
}

bool same(const Batch& a, const Batch& b) {
  return a.count == b.count && a.size == b.size && a.images == b.images && a.labels == b.labels;
}

std::vector<Batch> take(Loader& loader, int count) {
  std::vector<Batch> batches;
  for (int i = 0; i < count; ++i) batches.push_back(loader.next());
  return batches;
}

void check_same(const std::vector<Batch>& a, const std::vector<Batch>& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(same(a[i], b[i]));
}

LoaderOptions options_with(int batch_size, int prefetch) {
  LoaderOptions options;
  options.batch_size = batch_size;
  options.prefetch = prefetch;
  options.seed = 11;
  return options;
}

}  // namespace

TEST_CASE("loader: the split keeps the published halves") {
  const Dataset dataset = numbered(21);
  SearchSplit split = split_for_search(dataset, 0);
  CHECK(split.weights == range(0, 10));
  CHECK(split.architecture == range(10, 21));
  split = split_for_search(dataset, 6);
  CHECK(split.weights == range(0, 3));
  CHECK(split.architecture == range(3, 6));
  CHECK(split_for_search(dataset, 100).architecture == range(10, 21));
  check_error([&] { split_for_search(dataset, 1); }, {"1 training images", "at least 2"});
}

TEST_CASE("loader: an epoch holds each index once, in a new order each time") {
  const Dataset dataset = numbered(50);
  Loader loader(dataset.train, range(7, 50), dataset, options_with(8, 2));
  REQUIRE(loader.batches() == 6);
  std::set<std::vector<std::int32_t>> orders;
  for (int epoch = 0; epoch < 5; ++epoch) {
    std::vector<std::int32_t> seen;
    for (int b = 0; b < 6; ++b) {
      CHECK(loader.position() == epoch * 6 + b);
      const Batch& batch = loader.next();
      CHECK(batch.count == (b < 5 ? 8 : 3));
      CHECK(batch.images.size() == static_cast<std::size_t>(batch.count) * 16 * 16 * 3);
      seen.insert(seen.end(), batch.labels.begin(), batch.labels.end());
    }
    orders.insert(seen);
    std::sort(seen.begin(), seen.end());
    CHECK(seen == range(7, 50));
  }
  CHECK(orders.size() == 5);
}

TEST_CASE("loader: without shuffle and augmentation images come in order, normalised") {
  const Dataset dataset = numbered(10);
  LoaderOptions options = options_with(4, 1);
  options.shuffle = options.augment = false;
  const std::vector<std::int32_t> indices = {9, 0, 5, 2, 7};
  Loader loader(dataset.train, indices, dataset, options);
  for (int epoch = 0; epoch < 2; ++epoch) {
    std::vector<std::int32_t> seen;
    for (const Batch& batch : take(loader, 2)) {
      seen.insert(seen.end(), batch.labels.begin(), batch.labels.end());
      for (std::size_t i = 0; i < batch.images.size(); ++i) {
        const auto image = dataset.train.image(batch.labels[i / 768]);
        const double pixel = image[i % 768] / 255.;
        const auto mean = static_cast<double>(dataset.mean[i % 3]);
        const auto deviation = static_cast<double>(dataset.deviation[i % 3]);
        REQUIRE(std::abs(static_cast<double>(batch.images[i]) - (pixel - mean) / deviation) < 1e-5);
      }
    }
    CHECK(seen == indices);
  }
}

TEST_CASE("loader: batches do not depend on prefetch, threads or what was read before") {
  const Dataset dataset = numbered(40);
  const int threads = omp_get_max_threads();
  for (const bool replacement : {false, true}) {
    LoaderOptions options = options_with(6, 0);
    options.replacement = replacement;
    options.cutout = 5;
    Loader plain(dataset.train, range(0, 40), dataset, options);
    const std::vector<Batch> expected = take(plain, 20);
    CHECK(!same(expected[0], expected[7]));
    for (const int prefetch : {0, 1, 4}) {
      for (const int count : {1, 2, 3}) {
        omp_set_num_threads(count);
        options.prefetch = prefetch;
        Loader loader(dataset.train, range(0, 40), dataset, options);
        check_same(take(loader, 20), expected);
        for (const int to : {3, 19, 0, 8}) {
          loader.seek(to);
          CHECK(loader.position() == to);
          CHECK(same(loader.next(), expected[static_cast<std::size_t>(to)]));
        }
        CHECK(omp_get_max_threads() == count);  // the worker's setting is its own
      }
    }
    options.seed = 12;
    Loader other(dataset.train, range(0, 40), dataset, options);
    CHECK(!same(other.next(), expected[0]));
  }
  omp_set_num_threads(threads);
}

TEST_CASE("loader: many seeks against a busy worker") {
  const Dataset dataset = numbered(12);
  LoaderOptions options = options_with(4, 0);
  Loader plain(dataset.train, range(0, 12), dataset, options);
  const std::vector<Batch> expected = take(plain, 30);
  options.prefetch = 3;
  Loader loader(dataset.train, range(0, 12), dataset, options);
  for (int i = 0; i < 2000; ++i) {
    const int to = i * 7 % 29;
    loader.seek(to);
    if (i % 3 != 0) REQUIRE(same(loader.next(), expected[static_cast<std::size_t>(to)]));
    if (i % 5 == 0) std::this_thread::yield();
  }
}

TEST_CASE("loader: draws with replacement are full, without repeats, and cover every image") {
  const Dataset dataset = numbered(30);
  LoaderOptions options = options_with(8, 2);
  options.replacement = true;
  Loader loader(dataset.train, range(10, 30), dataset, options);
  CHECK(loader.batches() == 3);
  std::vector<int> drawn(30);
  constexpr int batches = 500;
  for (const Batch& batch : take(loader, batches)) {
    REQUIRE(batch.count == 8);
    const std::set<std::int32_t> distinct(batch.labels.begin(), batch.labels.end());
    REQUIRE(distinct.size() == 8);
    for (std::int32_t label : distinct) ++drawn[static_cast<std::size_t>(label)];
  }
  // Each of 20 images is in a batch with probability 0.4: five standard deviations, fixed seed.
  for (std::size_t i = 0; i < 30; ++i) {
    if (i < 10) {
      CHECK(drawn[i] == 0);
    } else {
      CHECK(std::abs(drawn[i] - batches * 0.4) < 5 * std::sqrt(batches * 0.4 * 0.6));
    }
  }
}

TEST_CASE("loader: bad options and a failure in the worker") {
  const Dataset dataset = numbered(10);
  const auto make = [&dataset](const LoaderOptions& options, std::vector<std::int32_t> indices) {
    return [&dataset, options, indices] { Loader(dataset.train, indices, dataset, options); };
  };
  check_error(make(options_with(0, 2), range(0, 10)), {"batch size 0"});
  check_error(make(options_with(4, -1), range(0, 10)), {"prefetch -1"});
  check_error(make(options_with(4, 2), {}), {"no images"});
  check_error(make(options_with(4, 2), {3, 10}), {"image 10", "0 to 9"});
  check_error(make(options_with(4, 2), {-1}), {"image -1"});
  LoaderOptions draws = options_with(11, 2);
  draws.replacement = true;
  check_error(make(draws, range(0, 10)), {"batch size 11", "at most 10"});

  // Random numbers are keyed by a 32-bit step: the batch after the last one fails, in next() and
  // not before.
  constexpr std::int64_t last = std::numeric_limits<std::uint32_t>::max();
  for (const int prefetch : {0, 3}) {
    Loader loader(dataset.train, range(0, 10), dataset, options_with(4, prefetch));
    const Batch first = loader.next();
    check_error([&] { loader.seek(-1); }, {"position -1"});
    loader.seek(last);
    CHECK(loader.next().count > 0);
    check_error([&] { loader.next(); }, {"4294967296"});
    check_error([&] { loader.next(); }, {"4294967296"});
    CHECK(loader.position() == last + 1);
    loader.seek(0);
    CHECK(same(loader.next(), first));
  }
}

}  // namespace drnas
