// SPDX-License-Identifier: MIT
#include <sstream>
#include <string_view>
#include <unordered_map>

#include "data/loader.h"
#include "engine/files.h"
#include "kernels/core/error.h"

namespace drnas {
namespace {

namespace fs = std::filesystem;

/// Images of the training folder by path, each with the list that took it.
class ListedImages {
 public:
  ListedImages(const Dataset& dataset, const fs::path& folder) : train_(folder / "train") {
    by_file_.reserve(dataset.train.files.size());
    for (std::size_t i = 0; i < dataset.train.files.size(); ++i)
      by_file_.emplace(dataset.train.files[i], Entry{static_cast<std::int32_t>(i), nullptr});
  }

  std::vector<std::int32_t> read(const fs::path& list) {
    std::vector<std::int32_t> indices;
    std::istringstream lines(read_text_file(list));
    int number = 0;
    for (std::string line; std::getline(lines, line);) {
      ++number;
      if (line.ends_with('\r')) line.pop_back();
      if (line.empty()) continue;
      indices.push_back(take(list, line, number));
    }
    if (indices.empty())
      throw Error(list.string() + ": no images, expected a line <class>/<image> for each");
    return indices;
  }

 private:
  struct Entry {
    std::int32_t index;
    const fs::path* list;
  };

  std::int32_t take(const fs::path& list, const std::string& line, int number) {
    const fs::path file = train_ / fs::path(line).lexically_normal();
    const auto found = by_file_.find(file.string());
    const std::string where = list.string() + ": line " + std::to_string(number) + ": ";
    if (found == by_file_.end()) {
      std::error_code ignored;  // a name may be longer than any file's
      if (!fs::exists(file, ignored)) throw Error(where + file.string() + " does not exist");
      throw Error(where + file.string() + " lies in no class folder as an image, expected " +
                  (train_ / "<class>" / "<image>").string());
    }
    Entry& entry = found->second;
    if (entry.list)
      throw Error(where + line + " is listed before, in " + entry.list->string() +
                  ", expected each image once");
    entry.list = &list;
    return entry.index;
  }

  fs::path train_;
  std::unordered_map<std::string_view, Entry> by_file_;
};

}  // namespace

SearchSplit split_from_lists(const Dataset& dataset, const fs::path& folder,
                             const fs::path& weights, const fs::path& architecture) {
  ListedImages images(dataset, folder);
  return {images.read(weights), images.read(architecture)};
}

}  // namespace drnas
