// SPDX-License-Identifier: MIT
// Private to data/: one pair (list the source files, read them) per file format.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace drnas::readers {

using Path = std::filesystem::path;

/// Throws Error: `missing` was not found, and where to get the data set `name` with which command.
[[noreturn]] void fail_missing(const Path& missing, const std::string& name);

/// Mean and population standard deviation per channel of pixel / 255 over `images`, into `dataset`.
/// The sums are exact integers; a constant channel gets a deviation of one grey level.
void compute_constants(const ImageSet& images, Dataset& dataset);

/// CIFAR's binary files: cifar10 = data_batch_1..5.bin and test_batch.bin, cifar100 = train.bin and
/// test.bin.
struct CifarFiles {
  std::vector<Path> train;
  Path test;
  Path class_names;   ///< empty when the folder has none
  bool fine = false;  ///< CIFAR-100: two label bytes, the second one is read
};
/// `folder` or its subfolder as unpacked from the archive. Throws Error when a file is missing.
CifarFiles list_cifar(const Path& folder, const std::string& name);
/// Throws Error: truncated file, files that disagree in length, label out of range (names the
/// record).
Dataset read_cifar(const CifarFiles& files);

/// The four IDX files of MNIST and its drop-in replacements, each plain or with ".gz".
struct IdxFiles {
  Path train_images, train_labels, test_images, test_labels;
};
IdxFiles list_idx(const Path& folder, const std::string& name);
/// 28 x 28 grey -> 32 x 32 x 3: two zero pixels on each side, three equal channels.
/// Throws Error: wrong magic, truncated, counts of images and labels differ, label out of range
/// (names the record).
Dataset read_idx(const IdxFiles& files);

/// One image of an image folder.
struct FolderImage {
  Path file;
  std::int32_t label;
};
/// `train/<class>/*` and `test/<class>/*`; the class is the directory's name, classes are sorted.
struct ImageFolder {
  std::vector<std::string> classes;
  /// Ordered by file number, then class, then name, so that every prefix is as class-balanced as it
  /// can be. The number is the last group of digits in the name without its extension; without
  /// digits the rank among the class's names.
  std::vector<FolderImage> train, test;
};
/// Throws Error: folder missing, no classes, an empty class, classes of test that differ from
/// train's.
ImageFolder list_image_folder(const Path& folder, const std::string& name);
/// Decodes on all OpenMP threads. Throws Error naming the first image that does not decode.
Dataset read_image_folder(const ImageFolder& listing, int size);

/// Decodes any format of stb_image into `out`, uint8 [size, size, 3]. Another size is resized with
/// a triangle filter (bilinear; widened when shrinking) to the shorter side and cropped at the
/// centre. Throws Error naming the file.
void decode_image(const Path& file, int size, std::uint8_t* out);

/// Ten classes, each a coloured grating of its own direction and frequency at a random phase, with
/// noise. Label of image i is i mod 10; image i depends only on (seed, i) and whether it is a test
/// image.
Dataset make_synthetic(const DatasetOptions& options);

}  // namespace drnas::readers
