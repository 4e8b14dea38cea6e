// SPDX-License-Identifier: MIT
// Lists of images in place of the halves of a search's training set.
#include <set>

#include "data/loader.h"
#include "tests/fuzz/fuzz.h"

using namespace drnas;
using namespace drnas::fuzz;

namespace {

Dataset images_of(const fs::path& folder) {
  Dataset dataset;
  for (const char* name : {"a/0.png", "a/1.png", "b/0.png", "b/1.png", "b/2 and more.png"})
    dataset.train.files.push_back((folder / "train" / name).string());
  dataset.train.count = static_cast<std::int64_t>(dataset.train.files.size());
  return dataset;
}

bool read(Input input) {
  static const Folder folder;
  static const Dataset dataset = images_of(folder.path());
  const std::vector<Input> parts = split(input, 2);
  const fs::path weights = folder.write("weights.txt", parts[0]);
  const fs::path architecture = folder.write("architecture.txt", parts[1]);
  return accepts([&] {
    const SearchSplit split = split_from_lists(dataset, folder.path(), weights, architecture);
    require(!split.weights.empty() && !split.architecture.empty(), "an empty half");
    std::set<std::int32_t> seen;
    for (const auto* half : {&split.weights, &split.architecture})
      for (const std::int32_t image : *half)
        require(image >= 0 && image < dataset.train.count && seen.insert(image).second,
                "an image that is none, or twice");
  });
}

void change(Bytes& input, const Change& change) { change_part(input, 2, change, change.bytes); }

}  // namespace

DRNAS_FUZZ_TARGET(image_list, read, change)
