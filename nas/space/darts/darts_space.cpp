// SPDX-License-Identifier: MIT
#include "nas/space/darts/darts_space.h"

#include <algorithm>
#include <cctype>

#include "nas/space/darts/darts_costs.h"
#include "nas/space/darts/darts_genotype.h"
#include "nas/space/darts/darts_network.h"
#include "nas/space/darts/darts_supernet.h"

namespace drnas {
namespace {

constexpr SpaceFacts darts_facts{.name = "darts",
                                 .title = "DARTS space",
                                 .cells = "cells",
                                 .least_cells = 3,
                                 .half_storage = false,
                                 .clips_with_alpha = false,
                                 .imagenet_stem = true,
                                 .none_option = true,
                                 .auxiliary_head = true};

/// A state of a cell by the genotype's number, the two inputs also by their usual names.
std::string state_label(int state) {
  return std::to_string(state) + (state == 0 ? " c_{k-2}" : state == 1 ? " c_{k-1}" : "");
}

/// Calls `edge(to, from)` for the edges of a cell in the order of theta's rows.
template <class Function>
void for_each_edge(const Function& edge) {
  for (int to = 2; to < 2 + darts_nodes; ++to)
    for (int from = 0; from < to; ++from) edge(to, from);
}

void add_choices(std::string_view name, const DartsCellGenotype& cell, Architecture& a) {
  for (std::size_t i = 0; i < cell.genes.size(); ++i)
    a.choices.push_back(
        choice_text(name, 2 + static_cast<int>(i / 2), cell.genes[i].source, cell.genes[i].op));
}

Architecture architecture_of(const DartsGenotype& genotype) {
  Architecture a;
  a.genotype = to_string(genotype);
  add_choices("normal", genotype.normal, a);
  add_choices("reduce", genotype.reduce, a);
  a.places = static_cast<int>(genotype.normal.genes.size());
  for (const DartsGene& gene : genotype.normal.genes) a.skips += gene.op == skip_name;
  return a;
}

CellGraph graph_of(const DartsCellGenotype& cell, const std::string& name) {
  using enum CellNodeKind;
  CellGraph graph{name, {}, {}};
  const int output_node = cell.nodes() + 2;
  for (int state = 0; state < output_node; ++state)
    graph.nodes.push_back({state_label(state), state < 2 ? input : intermediate});
  graph.nodes.push_back({"c_{k}", output});
  for (std::size_t g = 0; g < cell.genes.size(); ++g)
    graph.edges.push_back({cell.genes[g].source, static_cast<int>(g / 2) + 2, cell.genes[g].op});
  for (const int state : cell.concat) graph.edges.push_back({state, output_node, ""});
  return graph;
}

/// Both preprocessings, and on each edge 102 c of depthwise filters and 6 c^2 of 1x1 convolutions a
/// pixel of its result; eight edges of a reduction cell have a factorised reduction too.
double cell_multiply_adds(double inputs, double c, double pixels, double mixed, bool reduction) {
  constexpr double depthwise = 2 * 9 + 2 * 25 + 9 + 25, pointwise = 6, reductions = 8;
  const double results = reduction ? pixels / 4 : pixels;
  const double products = pointwise * darts_edges + (reduction ? reductions : 0);
  return inputs * c * pixels +
         (depthwise * darts_edges * mixed + products * mixed * mixed) * results;
}

/// Rows of the normal and of the reduction cell.
std::pair<EdgeWeights, EdgeWeights> cells_of(const EdgeWeights& weights) {
  const auto half = weights.begin() + std::min<std::ptrdiff_t>(darts_edges, std::ssize(weights));
  return {{weights.begin(), half}, {half, weights.end()}};
}

class DartsSpace final : public SearchSpace {
 public:
  const SpaceFacts& facts() const override { return darts_facts; }

  std::vector<std::string> operations(bool none) const override { return darts_search_ops(none); }
  std::vector<std::string> edges() const override {
    std::vector<std::string> names;
    for (const char* cell : {"normal ", "reduce "})
      for_each_edge([&](int to, int from) {
        names.push_back(cell + std::to_string(to) + "<-" + std::to_string(from));
      });
    return names;
  }
  /// Separable convolutions count twice, `none` is nothing.
  std::vector<int> operations_by_memory(bool none) const override {
    std::vector<int> order{4, 3, 6, 5, 0, 1, 2};
    if (!none) return order;
    for (int& column : order) ++column;
    order.push_back(0);
    return order;
  }
  int mixed_cells(const SupernetOptions& o) const override { return o.cells; }

  double multiply_adds(const SupernetOptions& o, int side) const override {
    const double width = 3.0 * o.channels;
    double pixels = static_cast<double>(side) * side, sum = 27 * width * pixels;
    if (o.imagenet_stem) {
      sum = 27 * width / 2 * pixels / 4 + 9 * width / 2 * width * pixels / 16 +
            9 * width * width * pixels / 64;
      pixels /= 64;
    }
    double before = width, last = width, c = o.channels;
    for (int i = 0; i < o.cells; ++i) {
      const bool reduction = i == o.cells / 3 || i == 2 * o.cells / 3;
      if (reduction) c *= 2;
      sum += cell_multiply_adds(before + last, c, pixels, c / o.partial_channels, reduction);
      if (reduction) pixels /= 4;
      before = last;
      last = darts_nodes * c;
    }
    return sum;
  }

  std::vector<std::vector<EdgeShape>> edge_shapes(const SupernetOptions& o,
                                                  int side) const override {
    return darts_edge_shapes(o, side);
  }
  OperationCost operation_cost(int column, bool none, const OperationShape& shape) const override {
    return darts_operation_cost(operations(none).at(static_cast<std::size_t>(column)), shape);
  }
  std::unique_ptr<SingleOperation> make_operation(int column, bool none,
                                                  const OperationShape& shape,
                                                  Device device) const override {
    return make_darts_operation(operations(none).at(static_cast<std::size_t>(column)), shape,
                                device);
  }

  std::unique_ptr<Supernet> make_supernet(const SupernetOptions& o, std::uint64_t seed,
                                          Device device) const override {
    return std::make_unique<DartsSupernet>(o, seed, device);
  }
  std::unique_ptr<DerivedNetwork> make_network(const DerivedOptions& o, std::uint64_t seed,
                                               Device device) const override {
    return std::make_unique<DartsNetwork>(o, seed, device);
  }

  Architecture derive(const EdgeWeights& weights, bool none) const override {
    const auto [normal, reduce] = cells_of(weights);
    return architecture_of(derive_darts_genotype(normal, reduce, darts_search_ops(none)));
  }
  Architecture derive_with_skips(const EdgeWeights& weights, bool none, int most) const override {
    const auto [normal, reduce] = cells_of(weights);
    return architecture_of(derive_darts_genotype(normal, reduce, darts_search_ops(none), most));
  }
  std::vector<CellDecisions> decisions() const override {
    std::vector<CellDecisions> cells(2);
    int row = 0;
    for (CellDecisions& cell : cells) {
      cell.inputs = 2;
      for (int to = 2; to < 2 + darts_nodes; ++to) {
        std::vector<int> inputs(static_cast<std::size_t>(to));
        for (int& input : inputs) input = row++;
        cell.edges.insert(cell.edges.end(), inputs.begin(), inputs.end());
        if (to > cell.inputs) cell.nodes.push_back(inputs);
      }
    }
    return cells;
  }
  Architecture parse(std::string_view text, const std::string& what) const override {
    return architecture_of(parse_darts_genotype(text, what));
  }
  bool recognises(std::string_view text) const override {
    constexpr std::string_view word = "Genotype";
    if (!text.starts_with(word)) return text.starts_with("{");
    text.remove_prefix(word.size());
    while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())))
      text.remove_prefix(1);
    return text.starts_with("(");
  }
  std::string_view genotype_form() const override {
    return "Genotype(normal=[...], ...) or {\"normal\": [...], ...}";
  }
  std::span<const NamedGenotype> named_genotypes() const override {
    return darts_named_genotypes();
  }

  std::shared_ptr<const AccuracyTable> accuracy_table(
      const std::filesystem::path& file) const override {
    if (!file.empty())
      throw Error("--nb201-table " + file.string() + ": the " + std::string(darts_facts.title) +
                  " has no table of accuracies, expected none");
    return nullptr;
  }

  std::vector<CellGraph> cell_graphs(const std::string& genotype) const override {
    const DartsGenotype cells = parse_darts_genotype(genotype, "genotype");
    return {graph_of(cells.normal, "normal"), graph_of(cells.reduce, "reduction")};
  }
  std::vector<std::string> edge_labels() const override {
    std::vector<std::string> labels;
    for_each_edge([&](int to, int from) { labels.push_back(edge_label(from, to)); });
    return labels;
  }
};

}  // namespace

const SearchSpace& darts_space() {
  static const DartsSpace space;
  return space;
}

}  // namespace drnas
