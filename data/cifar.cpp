// SPDX-License-Identifier: MIT
// CIFAR-10 and CIFAR-100, binary version: records of one (CIFAR-10) or two (CIFAR-100: coarse,
// fine) label bytes and 3072 pixel bytes [3, 32, 32]. Format:
// https://www.cs.toronto.edu/~kriz/cifar.html. Converted sets take the same form.
#include <algorithm>
#include <sstream>

#include "data/readers.h"
#include "engine/files.h"
#include "kernels/error.h"

namespace drnas::readers {
namespace {

/// Records of one file, appended to `set`. Returns how many there were.
std::int64_t append_records(const Path& file, const RecordFiles& format, ImageSet& set) {
  const std::vector<std::byte> bytes = read_file(file);
  const std::int64_t plane = std::int64_t{format.side} * format.side;
  const std::int64_t record = format.label_bytes + 3 * plane;
  const auto total = static_cast<std::int64_t>(bytes.size());
  if (total == 0 || total % record != 0) {
    throw Error(file.string() + ": truncated: " + std::to_string(total) +
                " bytes, expected a multiple of " + std::to_string(record));
  }
  const std::int64_t count = total / record;
  set.pixels.resize(static_cast<std::size_t>((set.count + count) * 3 * plane));
  for (std::int64_t r = 0; r < count; ++r) {
    const auto* in = reinterpret_cast<const std::uint8_t*>(bytes.data()) + r * record;
    const int label = in[format.label_bytes - 1];
    if (label >= format.classes) {
      throw Error(file.string() + ": record " + std::to_string(r) + ": label " +
                  std::to_string(label) + ", expected 0 to " + std::to_string(format.classes - 1));
    }
    set.labels.push_back(label);
    const std::uint8_t* planes = in + format.label_bytes;
    std::uint8_t* out = set.pixels.data() + (set.count + r) * 3 * plane;
    for (std::int64_t i = 0; i < plane; ++i) {
      for (std::int64_t c = 0; c < 3; ++c) out[3 * i + c] = planes[c * plane + i];
    }
  }
  set.count += count;
  return count;
}

void require_all(const RecordFiles& files, const std::string& name) {
  for (const Path& file : files.train) {
    if (!std::filesystem::exists(file)) fail_missing(file, name);
  }
  if (!std::filesystem::exists(files.test)) fail_missing(files.test, name);
}

}  // namespace

std::vector<std::string> cifar_class_names(const RecordFiles& files) {
  if (files.classes == 10) {
    return {"airplane", "automobile", "bird",  "cat",  "deer",
            "dog",      "frog",       "horse", "ship", "truck"};
  }
  std::vector<std::string> names;
  if (!files.class_names.empty()) {
    std::istringstream lines(read_text_file(files.class_names));
    for (std::string line; std::getline(lines, line);) {
      if (!line.empty()) names.push_back(line);
    }
    if (names.size() != 100) {
      throw Error(files.class_names.string() + ": " + std::to_string(names.size()) +
                  " class names, expected 100");
    }
    return names;
  }
  for (int i = 0; i < 100; ++i) names.push_back("class " + std::to_string(i));
  return names;
}

RecordFiles list_cifar(const Path& folder, const std::string& name) {
  RecordFiles files;
  const bool fine = name == "cifar100";
  files.classes = fine ? 100 : 10;
  files.label_bytes = fine ? 2 : 1;
  // Both releases have five training images for each test image: this finds a file cut between two
  // records.
  files.train_per_test = fine ? 5 : 1;
  const Path unpacked = folder / (fine ? "cifar-100-binary" : "cifar-10-batches-bin");
  const Path base = std::filesystem::is_directory(unpacked) ? unpacked : folder;
  if (fine) {
    files.train = {base / "train.bin"};
    files.test = base / "test.bin";
    const Path names = base / "fine_label_names.txt";
    if (std::filesystem::exists(names)) files.class_names = names;
  } else {
    for (int i = 1; i <= 5; ++i) {
      files.train.push_back(base / ("data_batch_" + std::to_string(i) + ".bin"));
    }
    files.test = base / "test_batch.bin";
  }
  require_all(files, name);
  return files;
}

RecordFiles list_converted(const Path& folder, const std::string& name) {
  RecordFiles files;
  files.train = {folder / "train.bin"};
  files.test = folder / "test.bin";
  if (name == "imagenet16-120") {
    files.side = 16;
    files.classes = 120;
  }
  require_all(files, name);
  return files;
}

Dataset read_records(const RecordFiles& files) {
  Dataset dataset;
  dataset.train.size = dataset.test.size = files.side;
  const std::int64_t test = append_records(files.test, files, dataset.test);
  const std::int64_t expected = files.train_per_test * test;
  for (const Path& file : files.train) {
    const std::int64_t count = append_records(file, files, dataset.train);
    if (expected != 0 && count != expected) {
      throw Error(file.string() + ": " + std::to_string(count) + " records, expected " +
                  std::to_string(expected) + " because " + files.test.filename().string() +
                  " has " + std::to_string(test));
    }
  }
  return dataset;
}

}  // namespace drnas::readers
