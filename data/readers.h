// SPDX-License-Identifier: MIT
// How data sets are read: one function per file format that lists the source files and says how to
// read them. For data/ and for readers of a program's own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/dataset_info.h"

namespace drnas::readers {

using Path = std::filesystem::path;

/// Source files, and how to read them where there is no cache of what they hold.
struct Source {
  Path folder;
  std::vector<Path> files;  ///< none: nothing is cached
  int image_size = 32;
  /// Images, labels and class names. Throws Error naming the file that does not fit.
  std::function<Dataset()> read;
  std::vector<std::string> train = {}, test = {};  ///< files of an image folder's images
};

/// CIFAR: cifar10 = data_batch_1..5.bin and test_batch.bin, cifar100 = train.bin and test.bin, in
/// the folder or its subfolder as unpacked from the archive; or folders of images, one a class.
Source find_cifar(const DatasetInfo&, const DatasetOptions&);
/// train.bin and test.bin as tools/data/convert_imagenet16.py (imagenet16-120) and
/// tools/data/convert_svhn.py (svhn) write them: CIFAR-10's records with the row's side and
/// classes.
Source find_converted(const DatasetInfo&, const DatasetOptions&);
/// The four IDX files of MNIST and its drop-in replacements, each plain or with ".gz". 28 x 28 grey
/// -> 32 x 32 x 3: two zero pixels on each side, three equal channels.
Source find_idx(const DatasetInfo&, const DatasetOptions&);
/// `train/<class>/*` and `test/<class>/*` (or `val/<class>/*` where there is no test); the class is
/// the directory's name, classes are sorted. Without options.decode files and labels only.
Source find_image_folder(const DatasetInfo&, const DatasetOptions&);
/// Ten classes, each a coloured grating of its own direction and frequency at a random phase, with
/// noise. Label of image i is i mod 10; image i depends only on (seed, i) and whether it is a test
/// image.
Source find_synthetic(const DatasetInfo&, const DatasetOptions&);

/// Throws Error: `missing` was not found, and where to get the data set with which command.
[[noreturn]] void fail_missing(const Path& missing, const DatasetInfo& info);
/// options.folder, or the default one of the data set. Throws as fail_missing() where it is none.
Path find_folder(const DatasetInfo& info, const DatasetOptions& options);

/// "class FIRST", "class FIRST+1", ...: names of classes that have none.
std::vector<std::string> numbered_classes(int count, int first);
/// "0", "1", ..., "9".
std::vector<std::string> digits();

/// Mean and population standard deviation per channel of pixel / 255 over `images`. The sums are
/// exact integers; a constant channel gets a deviation of one grey level.
ChannelConstants constants_of(const ImageSet& images);

/// Files of binary records: label bytes, then pixel bytes [3, side, side].
struct RecordFiles {
  std::vector<Path> train;
  Path test;
  int side = 32;           ///< pixels
  int classes = 10;        ///< labels are 0 .. classes - 1
  int label_bytes = 1;     ///< the last one is read: CIFAR-100 has the coarse class before it
  int train_per_test = 0;  ///< records of each training file for one of the test file; 0: any
};
/// Throws Error when a file is missing.
void require_all(const RecordFiles& files, const DatasetInfo& info);
/// Class names are left empty. Throws Error: truncated file, files that disagree in length, label
/// out of range (names the record).
Dataset read_records(const RecordFiles& files);

}  // namespace drnas::readers
