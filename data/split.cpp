// SPDX-License-Identifier: MIT
#include <algorithm>
#include <numeric>

#include "data/loader.h"
#include "kernels/core/error.h"

namespace drnas {

SearchSplit split_for_search(const Dataset& dataset, std::int64_t limit) {
  const std::int64_t all = dataset.train.count;
  const std::int64_t kept = limit > 0 ? std::min(limit, all) : all;
  if (kept < 2) {
    throw Error(dataset.name + ": " + std::to_string(kept) +
                " training images, expected at least 2 to split them for the search");
  }
  SearchSplit split;
  split.weights.resize(static_cast<std::size_t>(kept / 2));
  split.architecture.resize(static_cast<std::size_t>(kept - kept / 2));
  std::iota(split.weights.begin(), split.weights.end(), 0);
  std::iota(split.architecture.begin(), split.architecture.end(),
            static_cast<std::int32_t>(kept / 2));
  return split;
}

}  // namespace drnas
