// SPDX-License-Identifier: MIT
#include "nas/space/architecture.h"

#include <algorithm>

#include "nas/space/darts/darts_genotype.h"

namespace drnas {
namespace {

constexpr std::string_view skip = "skip_connect";

std::string choice(std::string_view cell, int to, int from, std::string_view op) {
  return std::string(cell) + " " + std::to_string(to) + "<-" + std::to_string(from) + " " +
         std::string(op);
}

Architecture architecture_of(const Nb201Cell& cell) {
  Architecture a;
  a.cell = cell;
  a.genotype = to_string(cell);
  a.places = Nb201Cell::edges;
  for (int e = 0; e < Nb201Cell::edges; ++e) {
    const std::string_view op = Nb201Cell::op_name[static_cast<std::size_t>(cell.op[e])];
    a.choices.push_back(choice("cell", Nb201Cell::edge[e].to, Nb201Cell::edge[e].from, op));
    a.skips += op == skip;
  }
  return a;
}

void add_choices(std::string_view name, const DartsCellGenotype& cell, Architecture& a) {
  for (std::size_t i = 0; i < cell.genes.size(); ++i)
    a.choices.push_back(
        choice(name, 2 + static_cast<int>(i / 2), cell.genes[i].source, cell.genes[i].op));
}

Architecture architecture_of(const DartsGenotype& genotype) {
  Architecture a;
  a.genotype = to_string(genotype);
  add_choices("normal", genotype.normal, a);
  add_choices("reduce", genotype.reduce, a);
  a.places = static_cast<int>(genotype.normal.genes.size());
  for (const DartsGene& gene : genotype.normal.genes) a.skips += gene.op == skip;
  return a;
}

}  // namespace

Architecture read_architecture(SearchSpace space, const std::string& genotype) {
  if (space == SearchSpace::nas_bench_201) return architecture_of(parse_nb201(genotype));
  return architecture_of(parse_darts_genotype(genotype, "genotype"));
}

Architecture derive_architecture(SearchSpace space, bool none,
                                 const std::vector<std::vector<double>>& theta) {
  if (space == SearchSpace::nas_bench_201) return architecture_of(cell_of_largest(theta));
  const auto half = theta.begin() + std::min<std::ptrdiff_t>(darts_edges, std::ssize(theta));
  return architecture_of(
      derive_darts_genotype({theta.begin(), half}, {half, theta.end()}, darts_search_ops(none)));
}

double agreement(const Architecture& a, const Architecture& b) {
  const auto shared = std::count_if(a.choices.begin(), a.choices.end(), [&](const auto& c) {
    return std::find(b.choices.begin(), b.choices.end(), c) != b.choices.end();
  });
  return static_cast<double>(shared) / static_cast<double>(a.choices.size());
}

}  // namespace drnas
