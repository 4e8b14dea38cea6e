// SPDX-License-Identifier: MIT
#include <chrono>
#include <cmath>
#include <cstring>
#include <span>

#include "data/cache.h"
#include "engine/files.h"
#include "tests/data/data_files.h"

namespace drnas {
namespace {

using namespace test_files;

void check_equal(const Dataset& a, const Dataset& b) {
  CHECK(a.name == b.name);
  CHECK(a.classes == b.classes);
  CHECK(a.mean == b.mean);
  CHECK(a.deviation == b.deviation);
  for (const auto& [x, y] : {std::pair(&a.train, &b.train), std::pair(&a.test, &b.test)}) {
    CHECK(x->count == y->count);
    CHECK(x->size == y->size);
    CHECK(x->pixels == y->pixels);
    CHECK(x->labels == y->labels);
  }
}

/// Reads again after the cache's bytes became `damaged`: same data, and the cache is whole again.
void check_rebuilt(const DatasetOptions& options, const Bytes& damaged, const Bytes& whole,
                   const Dataset& expected) {
  write_bytes(options.cache, damaged);
  check_equal(read_dataset(options), expected);
  CHECK(load_bytes(options.cache) == whole);
}

/// A cache whose header gives another number of training images than 2; length and checksum fit.
Bytes with_train_count(const Bytes& file, const std::string& count) {
  std::string text(file.begin(), file.end());
  const std::size_t before = text.size();
  text.replace(text.find("\"train\":2") + 8, 1, count);
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, text.data() + 16, sizeof header_bytes);
  header_bytes += text.size() - before;
  std::memcpy(text.data() + 16, &header_bytes, sizeof header_bytes);
  const std::uint32_t crc = checksum(std::as_bytes(std::span(text)).subspan(16));
  std::memcpy(text.data() + 12, &crc, sizeof crc);
  return {text.begin(), text.end()};
}

}  // namespace

TEST_CASE("data cache: a hit is identical and does not read the sources") {
  const TemporaryFolder folder;
  const Path& path = folder.path();
  write_mnist(path);
  DatasetOptions options;
  options.name = "mnist";
  options.folder = path;
  const Dataset first = read_dataset(options);
  const Path cache = path / "drnas-mnist-32.cache";
  REQUIRE(std::filesystem::exists(cache));
  CHECK(first.mean[0] > 0.3);
  // Other pixels under the same key: only a read of the cache can give them.
  const Path images = path / "train-images-idx3-ubyte";
  Dataset other = first;
  other.train.pixels[0] ^= 1;
  const std::string sources =
      cache::fingerprint(path, {images, path / "train-labels-idx1-ubyte",
                                path / "t10k-images-idx3-ubyte", path / "t10k-labels-idx1-ubyte"});
  cache::write(cache, {"mnist", 32, sources}, other);
  check_equal(read_dataset(options), other);
  // A source that has changed makes the cache stale, also where its size and time are kept.
  const auto time = std::filesystem::last_write_time(images);
  Bytes raw = load_bytes(images);
  raw[100] ^= 1;
  write_bytes(images, raw);
  std::filesystem::last_write_time(images, time);
  const Dataset changed = read_dataset(options);
  CHECK(changed.train.pixels != first.train.pixels);
  CHECK(changed.train.pixels != other.train.pixels);
  check_equal(read_dataset(options), changed);
}

TEST_CASE("data cache: damage and other versions are rebuilt silently") {
  const TemporaryFolder folder;
  const Path& path = folder.path();
  write_cifar10(path, 2);
  DatasetOptions options;
  options.folder = path;
  options.cache = path / "packed";
  const Dataset first = read_dataset(options);
  const Bytes whole = load_bytes(options.cache);
  CHECK(whole.size() > 12 * 3073);
  // One flipped bit anywhere: version, checksum, length, header, pixels, last label.
  for (std::size_t at : {std::size_t{8}, std::size_t{12}, std::size_t{16}, std::size_t{23},
                         std::size_t{30}, std::size_t{150}, whole.size() / 2, whole.size() - 4}) {
    CAPTURE(at);
    Bytes damaged = whole;
    damaged[at] ^= 0x20;
    check_rebuilt(options, damaged, whole, first);
  }
  for (std::size_t length :
       {std::size_t{0}, std::size_t{10}, std::size_t{24}, std::size_t{100}, whole.size() - 1}) {
    CAPTURE(length);
    check_rebuilt(options,
                  Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)), whole,
                  first);
  }
  Bytes longer = whole;
  longer.push_back(0);
  check_rebuilt(options, longer, whole, first);
}

TEST_CASE("data cache: with the right checksum it still may not hold what no data set does") {
  const TemporaryFolder folder;
  const Path file = folder.path() / "packed";
  Dataset dataset;
  dataset.name = "mnist";
  dataset.classes = {"a", "b", "c"};
  dataset.mean = {0.5f, 0.5f, 0.5f};
  dataset.deviation = {0.2f, 0.2f, 0.2f};
  dataset.train = {2, 2, random_bytes(24, 1), {0, 2}, {}};
  dataset.test = {1, 2, random_bytes(12, 2), {1}, {}};
  cache::Key key{"mnist", 2, "sources"};
  const auto is_read = [&] {
    cache::write(file, key, dataset);
    return cache::read(file, key).has_value();
  };
  CHECK(is_read());
  key.classes = 3;
  CHECK(is_read());
  key.classes = 10;
  CHECK_FALSE(is_read());
  key.classes = 0;
  for (const std::int32_t label : {-1, 3, 1 << 30}) {
    dataset.train.labels[1] = dataset.test.labels[0] = label;
    CHECK_FALSE(is_read());
    dataset.train.labels[1] = 2;
    CHECK_FALSE(is_read());
    dataset.test.labels[0] = 1;
  }
  CHECK(is_read());
  for (const float value : {NAN, INFINITY}) {
    dataset.mean[1] = value;
    CHECK_FALSE(is_read());
    dataset.mean[1] = 0.5f;
  }
  for (const float value : {NAN, INFINITY, 0.0f, -0.1f}) {
    dataset.deviation[2] = value;
    CHECK_FALSE(is_read());
    dataset.deviation[2] = 0.2f;
  }
  CHECK(is_read());
  for (const char* count : {"2.5", "1e49", "-2"}) {  // of images, where 2 stood
    write_bytes(file, with_train_count(load_bytes(file), count));
    CHECK_FALSE(cache::read(file, key).has_value());
    cache::write(file, key, dataset);
  }
  dataset.classes.clear();
  CHECK_FALSE(is_read());
}

TEST_CASE("data cache: of an image folder it must hold an image for each file") {
  const TemporaryFolder folder;
  for (const char* part : {"train", "test"})
    for (int i = 0; i < 3; ++i)
      write_random_ppm(folder.path() / part / "a" / (std::to_string(i) + ".ppm"), 8, 1);
  DatasetOptions options;
  options.name = "image-folder";
  options.folder = folder.path();
  options.image_size = 8;
  const Path file = folder.path() / "drnas-image-folder-8.cache";
  const Dataset whole = read_dataset(options);
  std::vector<Path> sources;
  for (const char* part : {"train", "test"})
    for (int i = 0; i < 3; ++i)
      sources.push_back(folder.path() / part / "a" / (std::to_string(i) + ".ppm"));
  const cache::Key key{"image-folder", 8, cache::fingerprint(folder.path(), sources)};
  REQUIRE(cache::read(file, key));
  Dataset less = whole;
  less.train.count = 2;
  less.train.pixels.resize(2 * 8 * 8 * 3);
  less.train.labels.resize(2);
  cache::write(file, key, less);
  check_equal(read_dataset(options), whole);
}

TEST_CASE("data cache: a file that is none is named and stays as it was") {
  const TemporaryFolder folder;
  write_cifar10(folder.path(), 2);
  DatasetOptions options;
  options.folder = folder.path();
  options.cache = folder.path() / "thesis.txt";
  for (const std::string content : {"Chapter 1", "x", "DRNASSEX and more"}) {
    const Bytes bytes(content.begin(), content.end());
    write_bytes(options.cache, bytes);
    check_error([&] { read_dataset(options); }, {"thesis.txt", "another --cache"});
    CHECK(load_bytes(options.cache) == bytes);
    DatasetOptions reading = options;
    reading.write_cache = false;
    CHECK(read_dataset(reading).train.count == 10);
    CHECK(load_bytes(options.cache) == bytes);
  }
}

TEST_CASE("data cache: belongs to one data set, size and set of files") {
  const TemporaryFolder folder;
  const Path& path = folder.path();
  for (const char* part : {"train", "test"}) {
    for (int i = 0; i < 3; ++i) {
      write_random_ppm(path / part / "a" / (std::to_string(i) + ".ppm"), 8,
                       static_cast<unsigned>(i));
    }
  }
  DatasetOptions options;
  options.name = "image-folder";
  options.folder = path;
  options.image_size = 8;
  options.cache = path / "shared.cache";
  const Dataset first = read_dataset(options);
  check_equal(read_dataset(options), first);
  options.image_size = 4;
  CHECK(read_dataset(options).train.size == 4);
  options.image_size = 8;
  check_equal(read_dataset(options), first);
  std::filesystem::rename(path / "train" / "a" / "2.ppm", path / "train" / "a" / "02.ppm");
  check_equal(read_dataset(options), first);  // same order and pixels, read anew
  std::filesystem::remove(path / "train" / "a" / "02.ppm");
  CHECK(read_dataset(options).train.count == 2);
}

TEST_CASE("data cache: one that cannot be written is no error") {
  const TemporaryFolder folder;
  write_cifar10(folder.path(), 2);
  DatasetOptions options;
  options.folder = folder.path();
  options.cache = folder.path() / "absent" / "packed";
  const Dataset dataset = read_dataset(options);
  CHECK(dataset.train.count == 10);
  CHECK(!std::filesystem::exists(folder.path() / "absent"));
  CHECK(dataset.note.find("cannot write " + options.cache.string()) != std::string::npos);
  CHECK(dataset.note.find('\n') == std::string::npos);
  options.cache = folder.path() / "a-folder";
  std::filesystem::create_directories(options.cache);
  check_equal(read_dataset(options), dataset);
}

}  // namespace drnas
