// SPDX-License-Identifier: MIT
// Genotypes of all spaces, typed and from files: the published form of what is accepted stands for
// the same architecture.
#include "nas/space/genotype.h"

#include "nas/space/search_space.h"
#include "tests/fuzz/fuzz.h"

using namespace drnas;
using namespace drnas::fuzz;

namespace {

void check_graphs(const SearchSpace& space, const std::string& text) {
  for (const CellGraph& graph : space.cell_graphs(text)) {
    const int nodes = static_cast<int>(graph.nodes.size());
    for (const CellEdge& edge : graph.edges)
      require(edge.from >= 0 && edge.from < edge.to && edge.to < nodes,
              "an edge that leads to no later node");
  }
}

void check(const Genotype& genotype) {
  require(genotype.space != nullptr, "a genotype of no space");
  require(genotype.text.find('\n') == std::string::npos, "a genotype of several lines");
  const Architecture a = genotype.space->parse(genotype.text, "again");
  require(a.genotype == genotype.text, "the published form is read as another architecture");
  require(a.skips >= 0 && a.skips <= a.places, "more skip connections than places");
  check_graphs(*genotype.space, genotype.text);
}

bool read(Input input) {
  static const Folder folder;
  static const bool inside = (fs::current_path(folder.path()), true);
  require(inside, "no folder");
  const fs::path file = folder.write("genotype.txt", input);
  const bool from_file = accepts([&] { check(find_genotype(file.string())); });
  const std::string text(as_text(input));
  const bool typed = accepts([&] { check(find_genotype(text)); });
  for (const SearchSpace* space : search_spaces())
    if (space->recognises(text)) {
      const bool parsed = accepts([&] { check({space, space->parse(text, "genotype").genotype}); });
      require(typed || !parsed, "a genotype that is only found as such");
    }
  return from_file || typed;
}

}  // namespace

DRNAS_FUZZ_TARGET(genotype, read, change_bytes)
