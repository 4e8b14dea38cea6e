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
  const auto [edges, operations] = theta_shape(options_);
  columns_ = operations;
  if (o.kept.empty()) return;
  if (o.kept.size() != static_cast<std::size_t>(edges) * operations)
    throw Error("supernet: " + std::to_string(o.kept.size()) +
                " operations kept or not, expected " + std::to_string(edges * operations));
  for (int edge = 0; edge < edges; ++edge) {
    const auto first = o.kept.begin() + std::ptrdiff_t{edge} * operations;
    if (std::all_of(first, first + operations, [](std::uint8_t k) { return k == 0; }))
      throw Error("supernet: edge " + space.edges()[static_cast<std::size_t>(edge)] +
                  " keeps no operation, expected one at least");
  }
}

bool Supernet::kept(int edge, int operation) const {
  return options_.kept.empty() ||
         options_.kept[static_cast<std::size_t>(edge) * columns_ + operation] != 0;
}

int Supernet::theta_index(const SupernetPass& pass, int edge, int operation) const {
  const int index = edge * columns_ + operation;
  const bool runs = !pass.active || (*pass.active)[static_cast<std::size_t>(index)] != 0;
  return kept(edge, operation) && runs ? index : -1;
}

kernels::GateRows Supernet::gate_rows(const SupernetPass& pass, int first, int edges) const {
  kernels::GateRows gates;
  if (pass.run == OperationsRun::all) return gates;
  if (edges > kernels::GateRows::most)
    throw Error("supernet: a node of " + std::to_string(edges) + " edges, expected at most " +
                std::to_string(kernels::GateRows::most));
  gates.rows = edges;
  gates.ops = columns_ - (options_.edge_weights ? 1 : 0);
  gates.adds = pass.run == OperationsRun::gates;
  for (int i = 0; i < edges; ++i) gates.first[i] = (first + i) * columns_;
  return gates;
}

}  // namespace drnas
