// SPDX-License-Identifier: MIT
#include "nas/space/cell_graph.h"

#include <array>

namespace drnas {
namespace {

constexpr std::array<const char*, 4> nb201_labels{"0 input", "1", "2", "3 output"};

/// A state of the DARTS cell by the genotype's number, the two inputs also by their usual names.
std::string darts_label(int state) {
  return std::to_string(state) + (state == 0 ? " c_{k-2}" : state == 1 ? " c_{k-1}" : "");
}

std::string edge_label(int from, int to) { return std::to_string(from) + "→" + std::to_string(to); }

CellGraph nb201_graph(const Nb201Cell& cell) {
  using enum CellNodeKind;
  CellGraph graph{"cell", {}, {}};
  const int last = static_cast<int>(nb201_labels.size()) - 1;
  for (int n = 0; n <= last; ++n)
    graph.nodes.push_back({nb201_labels[static_cast<std::size_t>(n)], n == 0      ? input
                                                                      : n == last ? output
                                                                                  : intermediate});
  for (std::size_t e = 0; e < Nb201Cell::edges; ++e) {
    const Nb201Edge edge = Nb201Cell::edge[e];
    const std::string_view op = Nb201Cell::op_name.at(static_cast<std::size_t>(cell.op[e]));
    graph.edges.push_back({edge.from, edge.to, std::string(op)});
  }
  return graph;
}

CellGraph darts_graph(const DartsCellGenotype& cell, const std::string& name) {
  using enum CellNodeKind;
  CellGraph graph{name, {}, {}};
  const int output_node = cell.nodes() + 2;
  for (int state = 0; state < output_node; ++state)
    graph.nodes.push_back({darts_label(state), state < 2 ? input : intermediate});
  graph.nodes.push_back({"c_{k}", output});
  for (std::size_t g = 0; g < cell.genes.size(); ++g)
    graph.edges.push_back({cell.genes[g].source, static_cast<int>(g / 2) + 2, cell.genes[g].op});
  for (const int state : cell.concat) graph.edges.push_back({state, output_node, ""});
  return graph;
}

}  // namespace

std::vector<CellGraph> cell_graphs(const AnyGenotype& genotype) {
  if (const auto* cell = std::get_if<Nb201Cell>(&genotype)) return {nb201_graph(*cell)};
  const auto& darts = std::get<DartsGenotype>(genotype);
  return {darts_graph(darts.normal, "normal"), darts_graph(darts.reduce, "reduction")};
}

std::vector<CellGraph> cell_graphs(SearchSpace space, const std::string& genotype) {
  if (space == SearchSpace::nas_bench_201) return cell_graphs(parse_nb201(genotype));
  return cell_graphs(parse_darts_genotype(genotype, "genotype"));
}

std::vector<std::string> edge_labels(SearchSpace space) {
  std::vector<std::string> labels;
  if (space == SearchSpace::nas_bench_201) {
    for (const Nb201Edge& edge : Nb201Cell::edge) labels.push_back(edge_label(edge.from, edge.to));
    return labels;
  }
  for (int to = 2; to < 2 + darts_nodes; ++to)
    for (int from = 0; from < to; ++from) labels.push_back(edge_label(from, to));
  return labels;
}

std::string_view op_family(std::string_view op) {
  if (op.empty()) return "concat";
  if (op == "none") return "none";
  if (op.starts_with("skip")) return "skip";
  return op.find("pool") == op.npos ? "conv" : "pool";
}

}  // namespace drnas
