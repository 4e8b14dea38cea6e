// SPDX-License-Identifier: MIT
// Binary records: label bytes, then 3 * side * side pixel bytes, plane by plane. The form of CIFAR
// (https://www.cs.toronto.edu/~kriz/cifar.html), which converted sets take as well.
#include "data/readers.h"
#include "engine/files.h"
#include "kernels/core/error.h"

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

}  // namespace

void require_all(const RecordFiles& files, const DatasetInfo& info) {
  for (const Path& file : files.train) {
    if (!std::filesystem::exists(file)) fail_missing(file, info);
  }
  if (!std::filesystem::exists(files.test)) fail_missing(files.test, info);
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
