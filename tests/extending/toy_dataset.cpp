// SPDX-License-Identifier: MIT
#include "tests/extending/toy_dataset.h"

#include <sstream>

#include "data/readers.h"
#include "engine/files.h"
#include "kernels/core/error.h"

namespace drnas::toys {
namespace {

constexpr int side = 8, classes = 4;

void append_image(int label, ImageSet& set) {
  for (int y = 0; y < side; ++y)
    for (int x = 0; x < side; ++x) {
      const bool bright = 2 * (y / (side / 2)) + x / (side / 2) == label;
      for (int channel = 0; channel < 3; ++channel) set.pixels.push_back(bright ? 200 : 50);
    }
  set.labels.push_back(label);
  ++set.count;
}

Dataset read(const std::filesystem::path& file) {
  Dataset dataset;
  dataset.classes = readers::numbered_classes(classes, 0);
  dataset.train.size = dataset.test.size = side;
  std::istringstream labels(read_text_file(file));
  for (std::string text; labels >> text;) {
    if (text.size() != 1 || text[0] < '0' || text[0] >= '0' + classes)
      throw Error(file.string() + ": label '" + text + "', expected 0 to 3");
    append_image(text[0] - '0', dataset.train);
  }
  for (int label = 0; label < classes; ++label) append_image(label, dataset.test);
  return dataset;
}

readers::Source find(const DatasetInfo& info, const DatasetOptions& options) {
  const std::filesystem::path folder = readers::find_folder(info, options);
  const std::filesystem::path file = folder / "labels.txt";
  if (!std::filesystem::exists(file)) readers::fail_missing(file, info);
  return {folder, {file}, side, [file] { return read(file); }};
}

}  // namespace

const DatasetInfo quarters{"quarters", side,         classes, "write labels.txt: digits 0 to 3",
                           "",         std::nullopt, false,   find};

}  // namespace drnas::toys
