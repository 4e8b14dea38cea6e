// SPDX-License-Identifier: MIT
// CIFAR's records and those of converted sets. Input: three choices, then test and training file.
#include "data/readers.h"
#include "tests/fuzz/fuzz.h"

using namespace drnas;
using namespace drnas::fuzz;

namespace {

void check(const ImageSet& set, const readers::RecordFiles& format) {
  const auto count = static_cast<std::size_t>(set.count), side = static_cast<std::size_t>(set.size);
  require(set.count >= 1 && set.size == format.side, "a set without images, or of another size");
  require(set.pixels.size() == count * side * side * 3 && set.labels.size() == count,
          "pixels or labels for another number of images");
  for (const std::int32_t label : set.labels)
    require(label >= 0 && label < format.classes, "label " + std::to_string(label));
}

bool read(Input input) {
  static const Folder folder;
  const std::vector<Input> parts = split(input, 3);
  const auto choice = [&](std::size_t i) { return i < parts[0].size() ? parts[0][i] : 0u; };
  readers::RecordFiles format;
  format.side = choice(0) % 2 ? 32 : 2;
  format.label_bytes = choice(1) % 2 ? 2 : 1;
  format.classes = choice(1) % 2 ? 100 : 10;
  format.train_per_test = choice(2) % 2 ? 5 : 0;
  format.test = folder.write("test.bin", parts[1]);
  format.train = {folder.write("train.bin", parts[2])};
  return accepts([&] {
    const Dataset dataset = readers::read_records(format);
    check(dataset.train, format);
    check(dataset.test, format);
    require(format.train_per_test == 0 ||
                dataset.train.count == format.train_per_test * dataset.test.count,
            "files that disagree in length");
    readers::constants_of(dataset.train);
  });
}

void change(Bytes& input, const Change& change) { change_part(input, 3, change, change.bytes); }

}  // namespace

DRNAS_FUZZ_TARGET(records, read, change)
