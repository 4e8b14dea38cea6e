// SPDX-License-Identifier: MIT
// The search spaces that there are: a new one adds a line here.
#include <vector>

#include "engine/choices.h"
#include "nas/space/darts/darts_space.h"
#include "nas/space/nb201/nb201_space.h"
#include "nas/space/search_space.h"

namespace drnas {

namespace {

std::vector<const SearchSpace*>& spaces() {
  static std::vector<const SearchSpace*> all{&nb201_space(), &darts_space()};
  return all;
}

}  // namespace

std::span<const SearchSpace* const> search_spaces() { return spaces(); }

void add_search_space(const SearchSpace& space) {
  if (find_search_space(space.facts().name))
    throw Error("search space '" + std::string(space.facts().name) + "': the name is taken");
  spaces().push_back(&space);
}

std::string search_space_names() {
  return choices(search_spaces(), [](const SearchSpace* space) { return space->facts().name; });
}

const SearchSpace* find_search_space(std::string_view name) {
  for (const SearchSpace* space : search_spaces())
    if (space->facts().name == name) return space;
  return nullptr;
}

const SearchSpace& search_space(std::string_view name) {
  if (const SearchSpace* space = find_search_space(name)) return *space;
  throw Error("search space '" + std::string(name) + "': expected " + search_space_names());
}

std::vector<CellDecisions> SearchSpace::decisions() const {
  CellDecisions cell;
  for (std::size_t edge = 0; edge < edges().size(); ++edge)
    cell.edges.push_back(static_cast<int>(edge));
  return {cell};
}

Architecture SearchSpace::derive_with_skips(const EdgeWeights&, bool, int) const {
  throw Error("search space '" + std::string(facts().name) +
              "': its cells have no limit on identities");
}

ThetaShape theta_shape(const SearchSpace& space, bool none) {
  return {static_cast<int>(space.edges().size()), static_cast<int>(space.operations(none).size())};
}

ThetaShape theta_shape(const SupernetOptions& network) {
  ThetaShape shape = theta_shape(*network.space, network.none);
  shape.operations += network.edge_weights ? 1 : 0;
  return shape;
}

std::vector<ThetaEntry> entries_of(const Architecture& architecture, const SearchSpace& space,
                                   bool none) {
  const std::vector<std::string> edges = space.edges(), operations = space.operations(none);
  std::vector<ThetaEntry> entries;
  for (const std::string& choice : architecture.choices)
    for (std::size_t edge = 0; edge < edges.size(); ++edge)
      for (std::size_t op = 0; op < operations.size(); ++op)
        if (choice.ends_with(edges[edge] + " " + operations[op])) entries.push_back({edge, op});
  return entries;
}

std::vector<int> node_of_edge(const SearchSpace& space) {
  std::vector<int> nodes;
  std::string before;
  for (const std::string& edge : space.edges()) {
    std::string node = edge.substr(0, edge.find("<-"));
    nodes.push_back(nodes.empty() ? 0 : nodes.back() + (node == before ? 0 : 1));
    before = std::move(node);
  }
  return nodes;
}

std::vector<std::uint8_t> heaviest_operations(const SupernetOptions& network, int count) {
  const auto [edges, columns] = theta_shape(network);
  const std::vector<int> order = network.space->operations_by_memory(network.none);
  std::vector<std::uint8_t> chosen(static_cast<std::size_t>(edges) * columns, 0);
  for (int edge = 0; edge < edges; ++edge) {
    int left = count;
    for (const int op : order) {
      const std::size_t at = static_cast<std::size_t>(edge) * columns + op;
      if (left > 0 && (network.kept.empty() || network.kept[at])) {
        chosen[at] = 1;
        --left;
      }
    }
  }
  return chosen;
}

std::unique_ptr<Supernet> make_supernet(const SupernetOptions& options, std::uint64_t seed,
                                        Device device) {
  if (!options.space) throw Error("supernet: no search space given, expected one");
  return options.space->make_supernet(options, seed, device);
}

std::unique_ptr<DerivedNetwork> make_derived_network(const DerivedOptions& options,
                                                     std::uint64_t seed, Device device) {
  if (!options.genotype.space) throw Error("network: no genotype given, expected one");
  return options.genotype.space->make_network(options, seed, device);
}

}  // namespace drnas
