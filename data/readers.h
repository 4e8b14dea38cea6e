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

/// Files of binary records: label bytes, then pixel bytes [3, side, side].
struct RecordFiles {
  std::vector<Path> train;
  Path test;
  Path class_names;        ///< empty when the folder has none
  int side = 32;           ///< pixels
  int classes = 10;        ///< labels are 0 .. classes - 1
  int label_bytes = 1;     ///< the last one is read: CIFAR-100 has the coarse class before it
  int train_per_test = 0;  ///< records of each training file for one of the test file; 0: any
};
/// CIFAR: cifar10 = data_batch_1..5.bin and test_batch.bin, cifar100 = train.bin and test.bin, in
/// `folder` or its subfolder as unpacked from the archive. Throws Error when a file is missing.
RecordFiles list_cifar(const Path& folder, const std::string& name);
/// train.bin and test.bin as tools/convert_imagenet16.py (imagenet16-120) and tools/convert_svhn.py
/// (svhn) write them: CIFAR-10's records, of 16 x 16 pixels and 120 classes in imagenet16-120.
RecordFiles list_converted(const Path& folder, const std::string& name);
/// Class names are left empty. Throws Error: truncated file, files that disagree in length, label
/// out of range (names the record).
Dataset read_records(const RecordFiles& files);
/// Of CIFAR. Throws Error when the file of names does not hold one for each class.
std::vector<std::string> cifar_class_names(const RecordFiles& files);

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
  std::string file;  ///< not a Path, which takes five times the memory
  std::int32_t label;
};
/// `train/<class>/*` and `test/<class>/*` (or `val/<class>/*` where there is no test); the class is
/// the directory's name, classes are sorted.
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
/// Files and labels only; the images are decoded when a batch wants them.
Dataset refer_to_image_folder(const ImageFolder& listing, int size);

/// Ten classes, each a coloured grating of its own direction and frequency at a random phase, with
/// noise. Label of image i is i mod 10; image i depends only on (seed, i) and whether it is a test
/// image.
Dataset make_synthetic(const DatasetOptions& options);

}  // namespace drnas::readers
