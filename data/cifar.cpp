// SPDX-License-Identifier: MIT
// CIFAR-10 and CIFAR-100, binary version: records of one (CIFAR-10) or two (CIFAR-100: coarse,
// fine) label bytes and 3072 pixel bytes [3, 32, 32]. Format:
// https://www.cs.toronto.edu/~kriz/cifar.html. Both also as folders of images.
#include <sstream>

#include "data/readers.h"
#include "engine/files.h"
#include "kernels/core/error.h"

namespace drnas::readers {
namespace {

namespace fs = std::filesystem;

/// `names`: the file of CIFAR-100's class names, or empty.
std::vector<std::string> class_names(int classes, const Path& names_file) {
  if (classes == 10) {
    return {"airplane", "automobile", "bird",  "cat",  "deer",
            "dog",      "frog",       "horse", "ship", "truck"};
  }
  if (names_file.empty()) return numbered_classes(classes, 0);
  std::vector<std::string> names;
  std::istringstream lines(read_text_file(names_file));
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty()) names.push_back(line);
  }
  if (static_cast<int>(names.size()) != classes) {
    throw Error(names_file.string() + ": " + std::to_string(names.size()) +
                " class names, expected " + std::to_string(classes));
  }
  return names;
}

RecordFiles list_records(const DatasetInfo& info, const Path& folder) {
  RecordFiles files;
  const bool fine = info.classes == 100;
  files.classes = info.classes;
  files.label_bytes = fine ? 2 : 1;
  // Both releases have five training images for each test image: this finds a file cut between two
  // records.
  files.train_per_test = fine ? 5 : 1;
  if (fine) {
    files.train = {folder / "train.bin"};
    files.test = folder / "test.bin";
  } else {
    for (int i = 1; i <= 5; ++i) {
      files.train.push_back(folder / ("data_batch_" + std::to_string(i) + ".bin"));
    }
    files.test = folder / "test_batch.bin";
  }
  require_all(files, info);
  return files;
}

}  // namespace

Source find_cifar(const DatasetInfo& info, const DatasetOptions& options) {
  const Path folder = find_folder(info, options);
  if (fs::is_directory(folder / "train")) return find_image_folder(info, options);
  const Path unpacked =
      folder / (info.classes == 100 ? "cifar-100-binary" : "cifar-10-batches-bin");
  const Path base = fs::is_directory(unpacked) ? unpacked : folder;
  RecordFiles files = list_records(info, base);
  Source source{folder, files.train, files.side, {}};
  source.files.push_back(files.test);
  Path names = base / "fine_label_names.txt";
  if (info.classes != 100 || !fs::exists(names)) names.clear();
  if (!names.empty()) source.files.push_back(names);
  source.read = [files = std::move(files), names = std::move(names)] {
    Dataset dataset = read_records(files);
    dataset.classes = class_names(files.classes, names);
    return dataset;
  };
  return source;
}

}  // namespace drnas::readers
