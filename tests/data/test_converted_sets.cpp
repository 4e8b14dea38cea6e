// SPDX-License-Identifier: MIT
// imagenet16-120 and svhn in the form of tools/convert_*.py, and the options of newer data sets.
#include "data/batch_maker.h"
#include "nas/options/option_table.h"
#include "nas/options/search_options.h"
#include "nas/options/train_options.h"
#include "nas/search/search_inputs.h"
#include "tests/data/data_files.h"

namespace drnas {
namespace {

using namespace test_files;

/// Records of one label byte and [3, side, side] bytes; label i mod classes.
Bytes records(int count, int side, int classes, unsigned seed) {
  const auto image = static_cast<std::size_t>(3 * side * side);
  const Bytes pixels = random_bytes(image * static_cast<std::size_t>(count), seed);
  Bytes all;
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    all.push_back(static_cast<std::uint8_t>(i % static_cast<std::size_t>(classes)));
    all.insert(all.end(), pixels.begin() + static_cast<std::ptrdiff_t>(i * image),
               pixels.begin() + static_cast<std::ptrdiff_t>((i + 1) * image));
  }
  return all;
}

DatasetOptions options_of(const std::string& name, const Path& folder) {
  DatasetOptions options;
  options.name = name;
  options.folder = folder;
  return options;
}

SearchOptions search_of(const std::string& dataset) {
  SearchOptions o = resolve_options({}, {{"dataset", dataset, "--dataset"}});
  o.out = "x";
  return o;
}

/// The error names option and value, and holds `part`.
void check_option(SearchOptions o, const char* name, const std::string& value, const char* part) {
  set_option(o, *find_option(name), value, "test");
  check_error([&] { o.validate(); }, {"--" + std::string(name) + " " + value, part});
}

}  // namespace

TEST_CASE("converted sets: records are read, from the cache too") {
  for (const bool svhn : {false, true}) {
    const TemporaryFolder folder;
    const std::string name = svhn ? "svhn" : "imagenet16-120";
    const int side = svhn ? 32 : 16, classes = svhn ? 10 : 120;
    const Bytes train = records(130, side, classes, 1);
    write_bytes(folder.path() / "train.bin", train);
    write_bytes(folder.path() / "test.bin", records(7, side, classes, 2));
    for (const char* from : {"records", "cache"}) {
      CAPTURE(from);
      const Dataset dataset = read_dataset(options_of(name, folder.path()));
      REQUIRE(dataset.train.count == 130);
      REQUIRE(dataset.test.count == 7);
      REQUIRE(dataset.train.size == side);
      REQUIRE(dataset.test.size == side);
      REQUIRE(static_cast<int>(dataset.classes.size()) == classes);
      CHECK(dataset.classes[3] == (svhn ? "3" : "class 4"));
      const auto plane = static_cast<std::size_t>(side * side);
      for (const std::size_t i : {std::size_t{0}, std::size_t{121}}) {
        CHECK(dataset.train.labels[i] == static_cast<int>(i) % classes);
        const auto image = dataset.train.image(static_cast<std::int64_t>(i));
        for (std::size_t at = 0; at < 3 * plane; ++at)
          REQUIRE(image[at] == train[i * (1 + 3 * plane) + 1 + at % 3 * plane + at / 3]);
      }
      CHECK(dataset.mean[0] == doctest::Approx(svhn ? 0.4377 : 122.68 / 255));
      CHECK(dataset.deviation[2] == doctest::Approx(svhn ? 0.1970 : 65.09 / 255));
      CHECK(std::filesystem::exists(folder.path() /
                                    ("drnas-" + name + "-" + std::to_string(side) + ".cache")));
      // Published crops are padded by 2 at 16 pixels, by 4 at 32.
      CHECK(BatchMaker(dataset.train, {0}, dataset, LoaderOptions{}).transform().padding ==
            side / 8);
    }
  }
}

TEST_CASE("converted sets: missing and damaged files") {
  const TemporaryFolder folder;
  const Path& path = folder.path();
  const auto reading = [&path](const char* name) {
    return [&path, name] { read_dataset(options_of(name, path)); };
  };
  check_error(reading("imagenet16-120"), {(path / "train.bin").string(), "convert_imagenet16.py"});
  check_error(reading("svhn"), {(path / "train.bin").string(), "convert_svhn.py"});
  check_error([] { read_dataset(options_of("svhn", "")); }, {"no folder given", "stanford.edu"});
  write_bytes(path / "train.bin", records(3, 16, 120, 1));
  check_error(reading("imagenet16-120"), {(path / "test.bin").string(), "not found"});
  write_bytes(path / "test.bin", records(2, 16, 120, 1));
  CHECK_NOTHROW(reading("imagenet16-120")());
  check_error(reading("svhn"), {"truncated", "3073"});
  Bytes bad = records(3, 16, 120, 1);
  bad[2 * 769] = 120;
  write_bytes(path / "train.bin", bad);
  check_error(reading("imagenet16-120"), {"record 2: label 120", "0 to 119"});
  bad.pop_back();
  write_bytes(path / "train.bin", bad);
  check_error(reading("imagenet16-120"), {"truncated", "769"});
}

TEST_CASE("converted sets: the options of each data set fit it") {
  CHECK(search_of("imagenet16-120").image_size == 16);
  CHECK(search_of("svhn").image_size == 32);
  for (const char* name : {"imagenet16-120", "svhn"}) CHECK_NOTHROW(search_of(name).validate());
  check_option(search_of("imagenet16-120"), "image-size", "32", "16, the size of imagenet16-120");
  check_option(search_of("svhn"), "image-size", "16", "32, the size of svhn");

  SearchOptions o = search_of("image-folder");
  o.augment = "resized-crop";
  o.colour_jitter = true;
  CHECK_NOTHROW(o.validate());
  check_option(o, "cutout", "8", "0 with --augment resized-crop");
  check_option(o, "augment", "autoaugment", "crop-flip, resized-crop");
  check_option(o, "train-list", "t.txt", "--alpha-list as well");
  check_option(o, "alpha-list", "a.txt", "--train-list as well");
  o.train_list = "t.txt";
  o.alpha_list = "a.txt";
  CHECK_NOTHROW(o.validate());
  check_option(o, "limit-train", "1000", "0 with --train-list");
  o.dataset = "cifar10";
  check_error([&] { o.validate(); }, {"--augment resized-crop", "crop-flip", "cifar10"});
  o.augment = "crop-flip";
  check_error([&] { o.validate(); }, {"--colour-jitter true", "resized-crop"});
  o.colour_jitter = false;
  check_error([&] { o.validate(); }, {"--train-list t.txt", "none", "cifar10"});
}

TEST_CASE("converted sets: the ImageNet preset decodes from disk, another set does not") {
  const GivenOption preset{"preset", "darts-imagenet", "--preset"};
  SearchOptions o = resolve_options({}, {preset});
  // The published search crops and flips only; its training jitters colours too.
  CHECK((o.augment == "resized-crop" && !o.colour_jitter && o.image_size == 224));
  CHECK(train_preset_options("darts-imagenet").colour_jitter);
  o = resolve_options({preset}, {{"dataset", "synthetic", "--dataset"}});
  CHECK((o.augment == "crop-flip" && !o.colour_jitter && o.image_size == 224));
  const GivenOption jitter{"colour-jitter", "true", "--colour-jitter"};
  CHECK(resolve_options({}, {preset, jitter}).colour_jitter);
  o = resolve_options({}, {preset, {"augment", "crop-flip", "--augment"}});
  CHECK((o.augment == "crop-flip" && !o.colour_jitter));
}

TEST_CASE("converted sets: a search's loaders follow the options") {
  SearchOptions o = search_of("image-folder");
  CHECK(evaluation_loader_options(o).augment);
  o.augment = "resized-crop";
  o.colour_jitter = true;
  CHECK(train_loader_options(o).colour_jitter);
  CHECK(alpha_loader_options(o).augment);
  CHECK_FALSE(evaluation_loader_options(o).augment);
}

}  // namespace drnas
