// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace drnas {

/// Images of one subset as uint8 [count, size, size, 3] with one label each, or the files that they
/// are decoded from when a batch wants them.
struct ImageSet {
  std::int64_t count = 0;
  int size = 32;                     ///< height = width, pixels
  std::vector<std::uint8_t> pixels;  ///< [count, size, size, 3], RGB
  std::vector<std::int32_t> labels;  ///< [count], 0 .. classes - 1
  std::vector<std::string> files;    ///< [count] of an image folder, else empty

  std::span<const std::uint8_t> image(std::int64_t i) const;
  /// `pixels` is empty: every image is decoded from its file when it is wanted.
  bool on_disk() const { return pixels.empty() && !files.empty(); }
};

/// A data set in memory: training and test images, class names, and the constants that normalise
/// them.
struct Dataset {
  std::string name;
  std::vector<std::string> classes;
  ImageSet train, test;
  std::array<float, 3> mean{};       ///< per channel, of pixel / 255
  std::array<float, 3> deviation{};  ///< per channel, of pixel / 255
  std::string note;                  ///< a line on what went wrong without harm, or empty
};

/// Where and how to read a data set.
struct DatasetOptions {
  std::string name = "cifar10";  ///< of a row of dataset_infos()
  std::filesystem::path folder;  ///< empty: the default place of the data set, if it has one
  /// Packed cache file; empty: `<folder>/drnas-<name>-<size>.cache`, or none where the folder is
  /// the default one; unwritable: no cache, and a note. Replaces nothing but caches.
  std::filesystem::path cache;
  bool write_cache = true;  ///< false: use a cache, but write none
  /// Image folders are resized to this, synthetic images have it; imagenet16-120 is always 16, the
  /// others are 32.
  int image_size = 32;
  bool decode = true;      ///< false: an image folder is held as files and labels, without a cache
  std::uint64_t seed = 0;  ///< synthetic data
  std::int64_t synthetic_train = 2048, synthetic_test = 512;
};

/// CRC-32 of all images and labels; of images on disk their names, <class>/<image>, stand for them.
/// Tells whether two sessions of a run see the same data, wherever these lie.
std::uint32_t content_checksum(const Dataset& dataset);

/// Reads a data set, through its packed cache when there is a valid one, and writes the cache when
/// there is none. The constants are the published ones where its row has some, ImageNet's for
/// images on disk, else computed from the training images. Throws Error: missing or truncated file,
/// wrong magic, label out of range, an image that does not decode, an empty class. A missing data
/// set says where to get it and the command.
Dataset read_dataset(const DatasetOptions& options);

}  // namespace drnas
