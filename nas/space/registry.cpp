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

ThetaShape theta_shape(const SearchSpace& space, bool none) {
  return {static_cast<int>(space.edges().size()), static_cast<int>(space.operations(none).size())};
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
