// SPDX-License-Identifier: MIT
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#include <omp.h>
#include <stb/stb_image_write.h>

#include <cstdlib>

#include "data/dataset.h"
#include "data/loader.h"
#include "tests/data/data_files.h"

namespace drnas {
namespace {

using namespace test_files;

DatasetOptions folder_options(const Path& folder, int size) {
  DatasetOptions options;
  options.name = "image-folder";
  options.folder = folder;
  options.image_size = size;
  options.cache = "/dev/null/none";
  return options;
}

Dataset read(const Path& folder, int size) { return read_dataset(folder_options(folder, size)); }

/// A data set of one class whose first training image is `pixels`, read at `size`.
std::vector<int> resized(int width, int height, const Bytes& pixels, int size) {
  const TemporaryFolder folder;
  write_ppm(folder.path() / "train" / "a" / "0.ppm", width, height, pixels);
  write_ppm(folder.path() / "test" / "a" / "0.ppm", width, height, pixels);
  const Dataset dataset = read(folder.path(), size);
  return {dataset.train.pixels.begin(), dataset.train.pixels.end()};
}

void write_constant(const Path& file, std::uint8_t value) {
  write_ppm(file, 4, 4, Bytes(4 * 4 * 3, value));
}

std::vector<int> first_bytes(const ImageSet& set) {
  std::vector<int> values;
  for (std::int64_t i = 0; i < set.count; ++i) values.push_back(set.image(i)[0]);
  return values;
}

/// Training and test images of the classes a and b, one each.
void write_two_classes(const Path& path) {
  for (const char* part : {"train", "test"}) {
    write_constant(path / part / "a" / "0.ppm", 1);
    write_constant(path / part / "b" / "0.ppm", 1);
  }
}

}  // namespace

TEST_CASE("image folder: file number, then class") {
  const TemporaryFolder folder;
  const Path train = folder.path() / "train", test = folder.path() / "test";
  // The value of an image says which it is.
  write_constant(train / "cat" / "0010.ppm", 110);
  write_constant(train / "cat" / "0002.ppm", 102);
  write_constant(train / "ant" / "img_2.ppm", 2);
  write_constant(train / "ant" / "v3_img_10.PPM", 10);
  write_constant(train / "ant" / "img_7.ppm", 7);
  write_constant(train / "dog" / "10.ppm", 210);
  write_constant(train / "dog" / "9.ppm", 209);
  write_bytes(train / "dog" / "notes.txt", {'x'});
  write_bytes(train / "dog" / ".8.ppm", {'x'});
  write_bytes(train / "readme.txt", {'x'});
  std::filesystem::create_directories(train / ".hidden");
  for (const char* name : {"ant", "cat", "dog"}) {
    for (const char* file : {"b.ppm", "a.ppm", "c.ppm"}) {
      write_constant(test / name / file,
                     static_cast<std::uint8_t>((name[0] - 'a') * 10 + file[0] - 'a'));
    }
  }
  const Dataset dataset = read(folder.path(), 4);
  CHECK(dataset.classes == std::vector<std::string>{"ant", "cat", "dog"});
  CHECK(first_bytes(dataset.train) == std::vector<int>{2, 102, 7, 209, 10, 110, 210});
  CHECK(dataset.train.labels == std::vector<std::int32_t>{0, 1, 0, 2, 0, 1, 2});
  CHECK(first_bytes(dataset.test) == std::vector<int>{0, 20, 30, 1, 21, 31, 2, 22, 32});
}

TEST_CASE("image folder: halves and limits are class-balanced") {
  const TemporaryFolder folder;
  for (const char* part : {"train", "test"}) {
    for (const char* name : {"a", "b"}) {
      for (int i = 0; i < 6; ++i) {
        write_constant(folder.path() / part / name / (std::to_string(i) + ".ppm"), 1);
      }
    }
  }
  const Dataset dataset = read(folder.path(), 4);
  for (const std::int64_t limit : {0, 8, 4}) {
    const SearchSplit split = split_for_search(dataset, limit);
    const std::size_t half = limit > 0 ? static_cast<std::size_t>(limit) / 2 : 6;
    REQUIRE(split.weights.size() == half);
    REQUIRE(split.architecture.size() == half);
    for (const auto* part : {&split.weights, &split.architecture}) {
      std::int64_t sum = 0;
      for (std::int32_t i : *part) sum += dataset.train.labels[static_cast<std::size_t>(i)];
      CHECK(sum == static_cast<std::int64_t>(half) / 2);
    }
  }
}

TEST_CASE("image folder: pixels are exact at the same size, for any thread count") {
  const TemporaryFolder folder;
  std::vector<Bytes> expected;
  for (int i = 0; i < 9; ++i) {
    const auto seed = static_cast<unsigned>(i);
    expected.push_back(
        write_random_ppm(folder.path() / "train" / "a" / (std::to_string(i) + ".ppm"), 8, seed));
  }
  write_random_ppm(folder.path() / "test" / "a" / "0.ppm", 8, 100);
  const int threads = omp_get_max_threads();
  for (int count : {1, 2, 3}) {
    omp_set_num_threads(count);
    const Dataset dataset = read(folder.path(), 8);
    for (int i = 0; i < 9; ++i) {
      const auto image = dataset.train.image(i);
      CHECK(Bytes(image.begin(), image.end()) == expected[static_cast<std::size_t>(i)]);
    }
  }
  omp_set_num_threads(threads);
}

TEST_CASE("image folder: resize to the shorter side, crop at the centre") {
  // Wide and tall images whose shorter side fits already: the centre is copied.
  const Bytes wide = random_bytes(20 * 8 * 3, 1), tall = random_bytes(8 * 14 * 3, 2);
  const auto from_wide = resized(20, 8, wide, 8), from_tall = resized(8, 14, tall, 8);
  for (int y = 0; y < 8; ++y) {
    for (int i = 0; i < 24; ++i) {
      const auto at = static_cast<std::size_t>(y * 24 + i);
      REQUIRE(from_wide[at] == wide[static_cast<std::size_t>(y * 60 + 6 * 3 + i)]);
      REQUIRE(from_tall[at] == tall[static_cast<std::size_t>((y + 3) * 24 + i)]);
    }
  }
  // A ramp stays a ramp away from the borders: value at the pixel's centre in the old coordinates.
  Bytes small(16 * 16 * 3), large(64 * 64 * 3);
  for (int i = 0; i < 16 * 16; ++i) {
    for (int c = 0; c < 3; ++c) {
      small[static_cast<std::size_t>(3 * i + c)] =
          static_cast<std::uint8_t>(c == 0   ? 8 * (i % 16)
                                    : c == 1 ? 12 * (i / 16)
                                             : 201);
    }
  }
  for (int i = 0; i < 64 * 64; ++i) {
    for (int c = 0; c < 3; ++c) {
      large[static_cast<std::size_t>(3 * i + c)] = static_cast<std::uint8_t>(c == 0   ? 2 * (i % 64)
                                                                             : c == 1 ? 4 * (i / 64)
                                                                                      : 201);
    }
  }
  const auto grown = resized(16, 16, small, 32), shrunk = resized(64, 64, large, 32);
  for (int y = 2; y < 30; ++y) {
    for (int x = 2; x < 30; ++x) {
      const auto at = static_cast<std::size_t>(3 * (y * 32 + x));
      REQUIRE(grown[at] == 4 * x - 2);
      REQUIRE(grown[at + 1] == 6 * y - 3);
      REQUIRE(shrunk[at] == 4 * x + 1);
      REQUIRE(shrunk[at + 1] == 8 * y + 2);
    }
  }
  for (std::size_t i = 2; i < grown.size(); i += 3) {
    REQUIRE(grown[i] == 201);
    REQUIRE(shrunk[i] == 201);
  }
}

TEST_CASE("image folder: JPEG, PNG, BMP, TGA and grey images decode") {
  const TemporaryFolder folder;
  const Path a = folder.path() / "train" / "a";
  std::filesystem::create_directories(a);
  Bytes colour;
  for (int i = 0; i < 16 * 16; ++i) colour.insert(colour.end(), {200, 100, 50});
  const Bytes grey = random_bytes(16 * 16, 3);
  REQUIRE(stbi_write_jpg((a / "0.JPG").c_str(), 16, 16, 3, colour.data(), 95) != 0);
  REQUIRE(stbi_write_png((a / "1.png").c_str(), 16, 16, 3, colour.data(), 48) != 0);
  REQUIRE(stbi_write_png((a / "2.png").c_str(), 16, 16, 1, grey.data(), 16) != 0);
  REQUIRE(stbi_write_bmp((a / "3.bmp").c_str(), 16, 16, 3, colour.data()) != 0);
  REQUIRE(stbi_write_tga((a / "4.tga").c_str(), 16, 16, 3, colour.data()) != 0);
  write_random_ppm(folder.path() / "test" / "a" / "0.ppm", 16, 1);
  const Dataset dataset = read(folder.path(), 16);
  for (std::size_t i = 0; i < colour.size(); ++i) {
    REQUIRE(std::abs(dataset.train.image(0)[i] - colour[i]) <= 3);
    REQUIRE(dataset.train.image(1)[i] == colour[i]);
    REQUIRE(dataset.train.image(2)[i] == grey[i / 3]);
    REQUIRE(dataset.train.image(3)[i] == colour[i]);
    REQUIRE(dataset.train.image(4)[i] == colour[i]);
  }
}

TEST_CASE("image folder: bad folders") {
  const TemporaryFolder folder;
  const Path& path = folder.path();
  const auto reading = [&path] { read(path, 4); };
  check_error(reading, {(path / "train").string(), "train/<class>/<image>"});
  std::filesystem::create_directories(path / "train");
  std::filesystem::create_directories(path / "test");
  check_error(reading, {(path / "train").string(), "no classes"});
  write_two_classes(path);
  CHECK_NOTHROW(reading());
  SUBCASE("empty class") {
    std::filesystem::remove(path / "train" / "b" / "0.ppm");
    write_bytes(path / "train" / "b" / "notes.txt", {'x'});
    check_error(reading, {(path / "train" / "b").string(), "without images"});
  }
  SUBCASE("class missing from test") {
    std::filesystem::remove_all(path / "test" / "b");
    check_error(reading, {(path / "test" / "b").string(), "classes of train"});
  }
  SUBCASE("class unknown to train") {
    write_constant(path / "test" / "c" / "0.ppm", 1);
    check_error(reading, {(path / "test" / "c").string(), "unknown class"});
  }
  SUBCASE("as CIFAR-10") {
    DatasetOptions options = folder_options(path, 32);
    options.name = "cifar10";
    check_error([&] { read_dataset(options); },
                {(path / "train").string(), "2 classes", "expected 10"});
    for (int i = 0; i < 8; ++i) {
      for (const char* part : {"train", "test"}) {
        write_constant(path / part / ("c" + std::to_string(i)) / "0.ppm", 1);
      }
    }
    const Dataset dataset = read_dataset(options);
    CHECK(dataset.train.count == 10);
    CHECK(dataset.train.size == 32);
    CHECK(dataset.mean[1] == doctest::Approx(0.48215827));
  }
}

TEST_CASE("image folder: bad images") {
  const TemporaryFolder folder;
  const Path& path = folder.path();
  const auto reading = [&path] { read(path, 4); };
  write_two_classes(path);
  SUBCASE("garbage") {
    // Two bad files: whatever the thread count the first in order is named.
    for (int i = 1; i < 8; ++i)
      write_constant(path / "train" / "a" / (std::to_string(i) + ".ppm"), 1);
    write_bytes(path / "train" / "a" / "3.jpg", random_bytes(100, 1));
    write_bytes(path / "train" / "a" / "6.jpg", random_bytes(100, 2));
    for (int repeat = 0; repeat < 5; ++repeat) {
      check_error(reading, {(path / "train" / "a" / "3.jpg").string(), "does not decode"});
    }
  }
  SUBCASE("JPEG cut short") {
    const Path file = path / "train" / "a" / "1.jpg";
    const Bytes noise = random_bytes(32 * 32 * 3, 1);
    REQUIRE(stbi_write_jpg(file.c_str(), 32, 32, 3, noise.data(), 95) != 0);
    CHECK_NOTHROW(reading());
    std::filesystem::resize_file(file, std::filesystem::file_size(file) * 3 / 4);
    check_error(reading, {file.string(), "does not decode"});
  }
  SUBCASE("no pixels") {
    const Path file = path / "train" / "a" / "1.tga";
    for (const int width : {0, 3}) {
      // Uncompressed, 24 bits a pixel, 0 x 3 or 3 x 0.
      Bytes header(18, 0);
      header[2] = 2;
      header[12] = static_cast<std::uint8_t>(width);
      header[14] = static_cast<std::uint8_t>(3 - width);
      header[16] = 24;
      write_bytes(file, header);
      check_error(reading, {file.string(), "expected"});
    }
  }
  SUBCASE("cut short and empty") {
    std::filesystem::resize_file(path / "train" / "a" / "0.ppm", 30);
    check_error(reading, {(path / "train" / "a" / "0.ppm").string(), "does not decode"});
    std::filesystem::resize_file(path / "train" / "a" / "0.ppm", 0);
    check_error(reading, {(path / "train" / "a" / "0.ppm").string(), "does not decode"});
  }
}

}  // namespace drnas
