// SPDX-License-Identifier: MIT
// Tiny data sets, written into a folder that lives as long as the test.
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <random>
#include <string>
#include <vector>

#include "kernels/core/error.h"

namespace drnas::test_files {

using Path = std::filesystem::path;
using Bytes = std::vector<std::uint8_t>;

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "drnas-data-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const Path& path() const { return path_; }

 private:
  Path path_;
};

inline void write_bytes(const Path& file, const Bytes& bytes) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream out(file, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
  REQUIRE(out.good());
}

inline Bytes load_bytes(const Path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

inline Bytes random_bytes(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  Bytes bytes(count);
  for (std::uint8_t& b : bytes) b = static_cast<std::uint8_t>(generator());
  return bytes;
}

inline void write_gzip(const Path& file, const Bytes& bytes) {
  gzFile out = gzopen(file.c_str(), "wb");
  REQUIRE(out != nullptr);
  CHECK(gzwrite(out, bytes.data(), static_cast<unsigned>(bytes.size())) ==
        static_cast<int>(bytes.size()));
  CHECK(gzclose(out) == Z_OK);
}

/// `count` CIFAR records, label (first + i) mod classes, random pixels.
inline Bytes cifar_records(int count, int first, bool fine, unsigned seed) {
  Bytes all;
  const Bytes pixels = random_bytes(static_cast<std::size_t>(count) * 3072, seed);
  for (int i = 0; i < count; ++i) {
    if (fine) all.push_back(static_cast<std::uint8_t>(i % 20));
    all.push_back(static_cast<std::uint8_t>((first + i) % (fine ? 100 : 10)));
    all.insert(all.end(), pixels.begin() + i * 3072, pixels.begin() + (i + 1) * 3072);
  }
  return all;
}

/// Five training files and a test file of `count` records each.
inline void write_cifar10(const Path& folder, int count) {
  for (int i = 1; i <= 5; ++i) {
    write_bytes(folder / ("data_batch_" + std::to_string(i) + ".bin"),
                cifar_records(count, i, false, static_cast<unsigned>(i)));
  }
  write_bytes(folder / "test_batch.bin", cifar_records(count, 0, false, 9));
}

/// An IDX file: magic, dimensions, elements.
inline Bytes idx(std::uint32_t magic, std::initializer_list<std::uint32_t> dimensions,
                 const Bytes& elements) {
  Bytes all;
  const auto append = [&all](std::uint32_t word) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      all.push_back(static_cast<std::uint8_t>(word >> shift));
    }
  };
  append(magic);
  for (std::uint32_t d : dimensions) append(d);
  all.insert(all.end(), elements.begin(), elements.end());
  return all;
}

/// Seven training and three test images, plain files.
inline void write_mnist(const Path& folder) {
  write_bytes(folder / "train-images-idx3-ubyte",
              idx(0x803, {7, 28, 28}, random_bytes(7 * 28 * 28, 1)));
  write_bytes(folder / "train-labels-idx1-ubyte", idx(0x801, {7}, {0, 1, 2, 9, 4, 5, 6}));
  write_bytes(folder / "t10k-images-idx3-ubyte",
              idx(0x803, {3, 28, 28}, random_bytes(3 * 28 * 28, 2)));
  write_bytes(folder / "t10k-labels-idx1-ubyte", idx(0x801, {3}, {3, 2, 1}));
}

/// A binary PPM image, lossless; `pixels` is [height, width, 3].
inline void write_ppm(const Path& file, int width, int height, const Bytes& pixels) {
  const std::string header =
      "P6\n" + std::to_string(width) + " " + std::to_string(height) + "\n255\n";
  Bytes all(header.begin(), header.end());
  all.insert(all.end(), pixels.begin(), pixels.end());
  write_bytes(file, all);
}

/// Random pixels of side `side`; returns them.
inline Bytes write_random_ppm(const Path& file, int side, unsigned seed) {
  Bytes pixels =
      random_bytes(static_cast<std::size_t>(side) * static_cast<std::size_t>(side) * 3, seed);
  write_ppm(file, side, side, pixels);
  return pixels;
}

/// `action` must throw Error with a single line that holds every one of `parts`.
inline void check_error(const std::function<void()>& action,
                        std::initializer_list<std::string> parts) {
  std::string message;
  try {
    action();
  } catch (const Error& error) {
    message = error.what();
  }
  REQUIRE_MESSAGE(!message.empty(), "no error was thrown");
  CHECK(message.find('\n') == std::string::npos);
  for (const std::string& part : parts) {
    CHECK_MESSAGE(message.find(part) != std::string::npos, message, " lacks ", part);
  }
}

}  // namespace drnas::test_files
