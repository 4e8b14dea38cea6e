// SPDX-License-Identifier: MIT
// CIFAR-10 and CIFAR-100, binary version: records of one (CIFAR-10) or two (CIFAR-100: coarse,
// fine) label bytes and 3072 pixel bytes [3, 32, 32]. Format:
// https://www.cs.toronto.edu/~kriz/cifar.html
#include <algorithm>
#include <sstream>

#include "data/readers.h"
#include "engine/files.h"
#include "kernels/error.h"

namespace drnas::readers {
namespace {

constexpr int image_side = 32;
constexpr std::int64_t plane = image_side * image_side;

std::int64_t record_bytes(bool fine) { return (fine ? 2 : 1) + 3 * plane; }

/// Records of one file, appended to `set`. Returns how many there were.
std::int64_t append_records(const Path& file, bool fine, ImageSet& set) {
  const std::vector<std::byte> bytes = read_file(file);
  const std::int64_t record = record_bytes(fine);
  const auto total = static_cast<std::int64_t>(bytes.size());
  if (total == 0 || total % record != 0) {
    throw Error(file.string() + ": truncated: " + std::to_string(total) +
                " bytes, expected a multiple of " + std::to_string(record));
  }
  const std::int64_t count = total / record;
  const int classes = fine ? 100 : 10;
  set.pixels.resize(static_cast<std::size_t>((set.count + count) * 3 * plane));
  for (std::int64_t r = 0; r < count; ++r) {
    const auto* in = reinterpret_cast<const std::uint8_t*>(bytes.data()) + r * record;
    const int label = in[fine ? 1 : 0];
    if (label >= classes) {
      throw Error(file.string() + ": record " + std::to_string(r) + ": label " +
                  std::to_string(label) + ", expected 0 to " + std::to_string(classes - 1));
    }
    set.labels.push_back(label);
    const std::uint8_t* planes = in + (fine ? 2 : 1);
    std::uint8_t* out = set.pixels.data() + (set.count + r) * 3 * plane;
    for (std::int64_t i = 0; i < plane; ++i) {
      for (std::int64_t c = 0; c < 3; ++c) out[3 * i + c] = planes[c * plane + i];
    }
  }
  set.count += count;
  return count;
}

std::vector<std::string> read_class_names(const CifarFiles& files) {
  if (!files.fine) {
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

}  // namespace

CifarFiles list_cifar(const Path& folder, const std::string& name) {
  CifarFiles files;
  files.fine = name == "cifar100";
  const Path unpacked = folder / (files.fine ? "cifar-100-binary" : "cifar-10-batches-bin");
  const Path base = std::filesystem::is_directory(unpacked) ? unpacked : folder;
  if (files.fine) {
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
  for (const Path& file : files.train) {
    if (!std::filesystem::exists(file)) fail_missing(file, name);
  }
  if (!std::filesystem::exists(files.test)) fail_missing(files.test, name);
  return files;
}

Dataset read_cifar(const CifarFiles& files) {
  Dataset dataset;
  dataset.classes = read_class_names(files);
  const std::int64_t test = append_records(files.test, files.fine, dataset.test);
  // Both releases have five training images for each test image: this finds a file cut between two
  // records.
  const std::int64_t expected = files.fine ? 5 * test : test;
  for (const Path& file : files.train) {
    const std::int64_t count = append_records(file, files.fine, dataset.train);
    if (count != expected) {
      throw Error(file.string() + ": " + std::to_string(count) + " records, expected " +
                  std::to_string(expected) + " because " + files.test.filename().string() +
                  " has " + std::to_string(test));
    }
  }
  return dataset;
}

}  // namespace drnas::readers
