// SPDX-License-Identifier: MIT
#include "nas/space/nb201/nb201_space.h"

#include <array>

#include "nas/space/nb201/nb201_cell.h"
#include "nas/space/nb201/nb201_costs.h"
#include "nas/space/nb201/nb201_network.h"
#include "nas/space/nb201/nb201_supernet.h"
#include "nas/space/nb201/nb201_table.h"

namespace drnas {
namespace {

constexpr SpaceFacts nb201_facts{.name = "nas-bench-201",
                                 .title = "NAS-Bench-201",
                                 .cells = "cells in each of three sections",
                                 .least_cells = 1,
                                 .half_storage = true,
                                 .clips_with_alpha = true,
                                 .imagenet_stem = false,
                                 .none_option = false,
                                 .auxiliary_head = false};
constexpr std::array<const char*, 4> node_labels{"0 input", "1", "2", "3 output"};
constexpr int sections = 3;

std::string_view operation_of(const Nb201Cell& cell, int edge) {
  return Nb201Cell::op_name.at(static_cast<std::size_t>(cell.op[static_cast<std::size_t>(edge)]));
}

Architecture architecture_of(const Nb201Cell& cell) {
  Architecture a;
  a.number = cell.index();
  a.genotype = to_string(cell);
  a.places = Nb201Cell::edges;
  for (int e = 0; e < Nb201Cell::edges; ++e) {
    const Nb201Edge edge = Nb201Cell::edge[static_cast<std::size_t>(e)];
    const std::string_view operation = operation_of(cell, e);
    a.choices.push_back(choice_text("cell", edge.to, edge.from, operation));
    a.skips += operation == skip_name;
  }
  return a;
}

class Nb201Space final : public SearchSpace {
 public:
  const SpaceFacts& facts() const override { return nb201_facts; }

  std::vector<std::string> operations(bool) const override {
    return {Nb201Cell::op_name.begin(), Nb201Cell::op_name.end()};
  }
  std::vector<std::string> edges() const override {
    std::vector<std::string> names;
    for (const Nb201Edge& edge : Nb201Cell::edge)
      names.push_back(std::to_string(edge.to) + "<-" + std::to_string(edge.from));
    return names;
  }
  std::vector<int> operations_by_memory(bool) const override { return {3, 2, 4, 1, 0}; }
  int mixed_cells(const SupernetOptions& o) const override { return sections * o.cells; }

  /// Stem, cells of 60 C^2 multiply-adds a pixel, residual blocks.
  double multiply_adds(const SupernetOptions& o, int side) const override {
    double sum = 27.0 * o.channels * side * side;
    for (int section = 0; section < sections; ++section) {
      const double c = o.channels << section,
                   pixels = static_cast<double>(side) * side / (1 << (2 * section)),
                   mixed = c / o.partial_channels;
      sum += 60.0 * o.cells * mixed * mixed * pixels;
      if (section) sum += (9.0 * c * c / 2 + 9.0 * c * c + c * c / 2) * pixels;
    }
    return sum;
  }

  std::vector<std::vector<EdgeShape>> edge_shapes(const SupernetOptions& o,
                                                  int side) const override {
    return std::vector<std::vector<EdgeShape>>(Nb201Cell::edges, nb201_edge_shapes(o, side));
  }
  OperationCost operation_cost(int column, bool, const OperationShape& shape) const override {
    return nb201_operation_cost(column, shape);
  }
  std::unique_ptr<SingleOperation> make_operation(int column, bool, const OperationShape& shape,
                                                  Device device) const override {
    return make_nb201_operation(column, shape, device);
  }

  std::unique_ptr<Supernet> make_supernet(const SupernetOptions& o, std::uint64_t seed,
                                          Device device) const override {
    return std::make_unique<Nb201Supernet>(o, seed, device);
  }
  std::unique_ptr<DerivedNetwork> make_network(const DerivedOptions& o, std::uint64_t seed,
                                               Device device) const override {
    return std::make_unique<Nb201Network>(o, seed, device);
  }

  Architecture derive(const EdgeWeights& weights, bool) const override {
    return architecture_of(cell_of_largest(weights));
  }
  Architecture parse(std::string_view text, const std::string& what) const override {
    try {
      return architecture_of(parse_nb201(text));
    } catch (const Error& error) {
      throw Error(what + ": " + error.what());
    }
  }
  bool recognises(std::string_view text) const override { return text.starts_with("|"); }
  std::string_view genotype_form() const override { return "|op~0|+|op~0|op~1|+..."; }
  std::span<const NamedGenotype> named_genotypes() const override { return {}; }

  std::shared_ptr<const AccuracyTable> accuracy_table(
      const std::filesystem::path& file) const override {
    if (!file.empty()) return std::make_shared<AccuracyTable>(read_nb201_table(file));
    return {std::shared_ptr<void>(), &built_in_nb201_table()};  // owned by the library
  }

  std::vector<CellGraph> cell_graphs(const std::string& genotype) const override {
    using enum CellNodeKind;
    const Nb201Cell cell = parse_nb201(genotype);
    CellGraph graph{"cell", {}, {}};
    for (const char* label : node_labels) graph.nodes.push_back({label, intermediate});
    graph.nodes.front().kind = input;
    graph.nodes.back().kind = output;
    for (int e = 0; e < Nb201Cell::edges; ++e) {
      const Nb201Edge edge = Nb201Cell::edge[static_cast<std::size_t>(e)];
      graph.edges.push_back({edge.from, edge.to, std::string(operation_of(cell, e))});
    }
    return {graph};
  }
  std::vector<std::string> edge_labels() const override {
    std::vector<std::string> labels;
    for (const Nb201Edge& edge : Nb201Cell::edge) labels.push_back(edge_label(edge.from, edge.to));
    return labels;
  }
};

}  // namespace

const SearchSpace& nb201_space() {
  static const Nb201Space space;
  return space;
}

}  // namespace drnas
