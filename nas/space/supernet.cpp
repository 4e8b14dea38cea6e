// SPDX-License-Identifier: MIT
#include "nas/space/supernet.h"

#include <algorithm>

#include "nas/space/search_space.h"

namespace drnas {

const char* to_string(RawOutputs mode) {
  return mode == RawOutputs::store     ? "store"
         : mode == RawOutputs::rebuild ? "rebuild"
                                       : "rebuild-1x1";
}

Supernet::Supernet(const SearchSpace& space, const SupernetOptions& o, Device device)
    : options_(o), parameters_(device, o.storage) {
  options_.space = &space;
  if (o.partial_channels < 1 || o.channels % o.partial_channels != 0)
    throw Error("supernet: partial channels " + std::to_string(o.partial_channels) +
                " do not divide " + std::to_string(o.channels) + " channels");
  const auto [rows, columns] = theta_shape(space, o.none);
  columns_ = columns;
  if (o.kept.empty()) return;
  if (o.kept.size() != static_cast<std::size_t>(rows) * columns)
    throw Error("supernet: " + std::to_string(o.kept.size()) +
                " operations kept or not, expected " + std::to_string(rows * columns));
  for (int row = 0; row < rows; ++row) {
    const auto first = o.kept.begin() + std::ptrdiff_t{row} * columns;
    if (std::all_of(first, first + columns, [](std::uint8_t k) { return k == 0; }))
      throw Error("supernet: edge " + space.edges()[static_cast<std::size_t>(row)] +
                  " keeps no operation, expected one at least");
  }
}

bool Supernet::kept(int row, int column) const {
  return options_.kept.empty() ||
         options_.kept[static_cast<std::size_t>(row) * columns_ + column] != 0;
}

}  // namespace drnas
