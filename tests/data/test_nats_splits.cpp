// SPDX-License-Identifier: MIT
#include "data/nats_splits.h"

#include <doctest/doctest.h>

#include <set>

#include "tests/support/option_files.h"

using namespace drnas;

namespace {

/// Images of one pixel, numbered in their label.
Dataset made_up(const std::string& name, std::int64_t train, std::int64_t test) {
  const auto fill = [](ImageSet& set, std::int64_t count, int first) {
    set.count = count;
    set.size = 1;
    set.pixels.assign(static_cast<std::size_t>(3 * count), 7);
    for (std::int64_t i = 0; i < count; ++i)
      set.labels.push_back(first + static_cast<std::int32_t>(i));
  };
  Dataset dataset;
  dataset.name = name;
  fill(dataset.train, train, 0);
  fill(dataset.test, test, 1000000);
  return dataset;
}

using Images = std::vector<std::int32_t>;

Images first_of(const Images& all, std::ptrdiff_t count) {
  return {all.begin(), all.begin() + count};
}

}  // namespace

TEST_CASE("nats split: CIFAR-10 is halved by its list") {
  Dataset dataset = made_up("cifar10", 50000, 10000);
  const SearchSplit split = split_as_nats(dataset);
  CHECK((split.weights.size() == 25000 && split.architecture.size() == 25000));
  CHECK(first_of(split.weights, 8) == Images{0, 5, 7, 11, 13, 15, 16, 17});
  CHECK(first_of(split.architecture, 8) == Images{1, 2, 3, 4, 6, 8, 9, 10});
  std::set<std::int32_t> all(split.weights.begin(), split.weights.end());
  all.insert(split.architecture.begin(), split.architecture.end());
  CHECK((all.size() == 50000 && *all.rbegin() == 49999));
  CHECK(dataset.train.count == 50000);
}

TEST_CASE("nats split: elsewhere all training images and a half of the test set") {
  for (const auto& [name, train, test] :
       {std::tuple("cifar100", 50000, 10000), std::tuple("imagenet16-120", 151700, 6000)}) {
    CAPTURE(name);
    Dataset dataset = made_up(name, train, test);
    const SearchSplit split = split_as_nats(dataset);
    CHECK(split.weights.size() == static_cast<std::size_t>(train));
    CHECK(split.architecture.size() == static_cast<std::size_t>(test / 2));
    CHECK(dataset.train.count == train + test);
    CHECK(dataset.train.pixels.size() == static_cast<std::size_t>(3 * (train + test)));
    for (const std::int32_t image : split.architecture)
      CHECK(dataset.train.labels[static_cast<std::size_t>(image)] == 1000000 + image - train);
  }
}

TEST_CASE("nats split: other data sets and numbers of images are refused") {
  Dataset other = made_up("fashion-mnist", 60000, 10000), cut = made_up("cifar10", 49999, 10000),
          cut_test = made_up("cifar100", 50000, 9999);
  test_files::check_fails([&] { split_as_nats(other); }, {"--split nats", "fashion-mnist"});
  test_files::check_fails([&] { split_as_nats(cut); }, {"49999 training images", "50000"});
  test_files::check_fails([&] { split_as_nats(cut_test); }, {"9999 test images", "10000"});
  CHECK((has_nats_split("cifar100") && !has_nats_split("image-folder")));
}
