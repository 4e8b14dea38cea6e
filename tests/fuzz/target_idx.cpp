// SPDX-License-Identifier: MIT
// MNIST's files. Input: images and labels, either of which may be packed by gzip; the training and
// the test set are the same.
#include <algorithm>

#include "data/readers.h"
#include "tests/fuzz/gzip_parts.h"

using namespace drnas;
using namespace drnas::fuzz;

namespace {

void link(const Folder& folder, const char* name, const char* target) {
  fs::create_symlink(target, folder.path() / name);
}

bool read(Input input) {
  static const Folder folder;
  static const bool linked = [] {
    link(folder, "t10k-images-idx3-ubyte", "train-images-idx3-ubyte");
    link(folder, "t10k-labels-idx1-ubyte", "train-labels-idx1-ubyte");
    return true;
  }();
  require(linked, "no test set");
  const std::vector<Input> parts = split(input, 2);
  folder.write("train-images-idx3-ubyte", parts[0]);
  folder.write("train-labels-idx1-ubyte", parts[1]);
  DatasetOptions options;
  options.name = "mnist";
  options.folder = folder.path();
  options.write_cache = false;
  return accepts([&] {
    const Dataset dataset = read_dataset(options);
    for (const ImageSet* set : {&dataset.train, &dataset.test}) {
      const auto count = static_cast<std::size_t>(set->count);
      require(count >= 1 && set->labels.size() == count && set->size == 32 &&
                  set->pixels.size() == count * 32 * 32 * 3,
              "pixels or labels for another number of images");
      require(std::all_of(set->labels.begin(), set->labels.end(),
                          [](std::int32_t label) { return label >= 0 && label < 10; }),
              "a label out of range");
    }
    require(dataset.classes.size() == 10, "another number of classes");
  });
}

void change(Bytes& input, const Change& change) {
  change_part(input, 2, change, [&](Bytes& part) { change_gzip(part, change); });
}

}  // namespace

DRNAS_FUZZ_TARGET(idx, read, change)
