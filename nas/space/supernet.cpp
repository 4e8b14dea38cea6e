// SPDX-License-Identifier: MIT
#include "nas/space/supernet.h"

#include <algorithm>

#include "nas/space/darts/darts_supernet.h"
#include "nas/space/nb201/nb201_cell.h"
#include "nas/space/nb201/nb201_supernet.h"

namespace drnas {

const char* to_string(RawOutputs mode) {
  return mode == RawOutputs::store     ? "store"
         : mode == RawOutputs::rebuild ? "rebuild"
                                       : "rebuild-1x1";
}

namespace {

/// 3<-1, and in the DARTS space normal 2<-0 (states 0 and 1 are the inputs).
std::string edge_name(SearchSpace space, int row) {
  if (space == SearchSpace::nas_bench_201) {
    const Nb201Edge edge = Nb201Cell::edge[static_cast<std::size_t>(row)];
    return std::to_string(edge.to) + "<-" + std::to_string(edge.from);
  }
  int source = row % DartsSupernet::cell_edges, state = 2;
  while (source >= state) source -= state++;
  return (row < DartsSupernet::cell_edges ? "normal " : "reduce ") + std::to_string(state) + "<-" +
         std::to_string(source);
}

}  // namespace

Supernet::Supernet(const SupernetOptions& o, Device device)
    : options_(o), parameters_(device, o.storage) {
  if (o.partial_channels < 1 || o.channels % o.partial_channels != 0)
    throw Error("supernet: partial channels " + std::to_string(o.partial_channels) +
                " do not divide " + std::to_string(o.channels) + " channels");
  if (o.kept.empty()) return;
  const auto [rows, columns] = theta_shape(o.space, o.none);
  if (o.kept.size() != static_cast<std::size_t>(rows) * columns)
    throw Error("supernet: " + std::to_string(o.kept.size()) +
                " operations kept or not, expected " + std::to_string(rows * columns));
  for (int row = 0; row < rows; ++row) {
    const auto first = o.kept.begin() + std::ptrdiff_t{row} * columns;
    if (std::all_of(first, first + columns, [](std::uint8_t k) { return k == 0; }))
      throw Error("supernet: edge " + edge_name(o.space, row) +
                  " keeps no operation, expected one at least");
  }
}

bool Supernet::kept(int row, int column) const {
  if (options_.kept.empty()) return true;
  const int columns = theta_shape(options_.space, options_.none).columns;
  return options_.kept[static_cast<std::size_t>(row) * columns + column] != 0;
}

ThetaShape theta_shape(SearchSpace space, bool none) {
  if (space == SearchSpace::nas_bench_201) return {Nb201Supernet::edges, Nb201Supernet::ops};
  return {DartsSupernet::edges, DartsSupernet::ops + (none ? 1 : 0)};
}

int cell_count(const SupernetOptions& options) {
  return options.space == SearchSpace::nas_bench_201 ? 3 * options.cells : options.cells;
}

std::unique_ptr<Supernet> make_supernet(const SupernetOptions& options, std::uint64_t seed,
                                        Device device) {
  if (options.space == SearchSpace::nas_bench_201)
    return std::make_unique<Nb201Supernet>(options, seed, device);
  return std::make_unique<DartsSupernet>(options, seed, device);
}

}  // namespace drnas
