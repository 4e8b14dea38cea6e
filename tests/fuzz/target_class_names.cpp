// SPDX-License-Identifier: MIT
// The file of CIFAR-100's class names, beside records that are good.
#include "data/readers.h"
#include "tests/fuzz/fuzz.h"

using namespace drnas;
using namespace drnas::fuzz;

namespace {

constexpr std::size_t record_bytes = 2 + 3072;

bool read(Input input) {
  static const Folder folder;
  static const bool written = [] {
    folder.write("train.bin", Bytes(5 * record_bytes));
    folder.write("test.bin", Bytes(record_bytes));
    return true;
  }();
  require(written, "no records");
  folder.write("fine_label_names.txt", input);
  DatasetOptions options;
  options.name = "cifar100";
  options.folder = folder.path();
  options.write_cache = false;
  return accepts([&] {
    const Dataset dataset = read_dataset(options);
    require(dataset.classes.size() == 100, "another number of classes");
    for (const std::string& name : dataset.classes)
      require(!name.empty() && name.find('\n') == name.npos, "a name that is no line");
  });
}

}  // namespace

DRNAS_FUZZ_TARGET(class_names, read, change_bytes)
