// SPDX-License-Identifier: MIT
#include "nas/space/cost_table.h"

#include <functional>

#include "engine/files.h"
#include "nas/space/latency_table.h"

namespace drnas {
namespace {

using Kind = CostOption::Kind;

constexpr std::string_view latency_prefix = "latency:";

/// Of the operation in a column, in one cell.
using CostOf = std::function<double(int column, const OperationShape& shape)>;

EdgeWeights sum_over_cells(const SearchSpace& space, const SupernetOptions& network, int image_size,
                           const CostOf& cost_of) {
  const int columns = theta_shape(space, network.none).operations;
  EdgeWeights costs;
  for (const std::vector<EdgeShape>& shapes : space.edge_shapes(network, image_size)) {
    std::vector<double>& row = costs.emplace_back(columns, 0.0);
    for (int column = 0; column < columns; ++column)
      for (const EdgeShape& edge : shapes)
        row[static_cast<std::size_t>(column)] += edge.cells * cost_of(column, edge.shape);
  }
  return costs;
}

/// Times of a file, which must be of the space and know all shapes.
CostOf latency_of(const std::filesystem::path& file, const SearchSpace& space, bool none,
                  std::string& unit) {
  const LatencyTable table = read_latency_table(file);
  const std::string expected =
      ", expected a file that drnas_search --measure-latency wrote with the --space, --channels, "
      "--image-size and --stem of this search";
  if (table.space != space.facts().name)
    throw Error("--cost latency: " + file.string() + " is of --space " + table.space + ", not " +
                std::string(space.facts().name) + expected);
  unit = "ms for a batch of " + std::to_string(table.images);
  return [table, file, expected, operations = space.operations(none)](int column,
                                                                      const OperationShape& shape) {
    const std::string& operation = operations.at(static_cast<std::size_t>(column));
    if (operation == "none") return 0.0;
    const OperationLatency* const found = table.find(operation, shape);
    if (found == nullptr)
      throw Error("--cost latency: " + file.string() + " has no " + operation + " of " +
                  std::to_string(shape.channels) + " channels at " + std::to_string(shape.pixels) +
                  " pixels and stride " + std::to_string(shape.stride) + expected);
    return found->median;
  };
}

}  // namespace

CostOption parse_cost(const std::string& text) {
  if (text.empty()) return {};
  if (text == "flops") return {Kind::flops};
  if (text == "parameters") return {Kind::parameters};
  if (text.starts_with(latency_prefix) && text.size() > latency_prefix.size())
    return {Kind::latency, text.substr(latency_prefix.size())};
  throw Error("--cost " + text + ": expected flops, parameters or latency:FILE");
}

double CostTable::expected(const EdgeWeights& theta) const {
  double sum = 0;
  for (std::size_t edge = 0; edge < costs.size(); ++edge)
    for (std::size_t op = 0; op < costs[edge].size(); ++op)
      sum += theta.at(edge).at(op) * costs[edge][op];
  return sum / mean;
}

std::vector<double> CostTable::gradient(double weight, bool edge_weights) const {
  std::vector<double> entries;
  for (const std::vector<double>& row : costs) {
    for (const double cost : row) entries.push_back(weight * cost / mean);
    if (edge_weights) entries.push_back(0);
  }
  return entries;
}

double CostTable::of(const Architecture& architecture, const SearchSpace& space, bool none) const {
  double sum = 0;
  for (const ThetaEntry& entry : entries_of(architecture, space, none))
    sum += costs[entry.edge][entry.operation];
  return sum;
}

std::uint32_t CostTable::checksum() const {
  std::uint32_t crc = 0;
  for (const std::vector<double>& row : costs)
    crc = drnas::checksum(std::as_bytes(std::span(row)), crc);
  return crc;
}

CostTable make_cost_table(const CostOption& option, const SupernetOptions& network,
                          int image_size) {
  const SearchSpace& space = *network.space;
  CostTable table;
  CostOf cost_of;
  if (option.kind == Kind::latency) {
    cost_of = latency_of(option.file, space, network.none, table.unit);
  } else {
    const bool parameters = option.kind == Kind::parameters;
    table.unit = parameters ? "parameters" : "multiply-adds";
    cost_of = [&space, &network, parameters](int column, const OperationShape& shape) {
      const OperationCost cost = space.operation_cost(column, network.none, shape);
      return static_cast<double>(parameters ? cost.parameters : cost.multiply_adds);
    };
  }
  table.costs = sum_over_cells(space, network, image_size, cost_of);
  for (const std::vector<double>& row : table.costs) {
    double sum = 0;
    for (const double cost : row) sum += cost;
    table.mean += sum / static_cast<double>(row.size());
  }
  if (table.costs.empty())
    throw Error("--cost: --space " + std::string(space.facts().name) +
                " states no costs of its operations, expected another space or no --cost");
  if (!(table.mean > 0))
    throw Error("--cost: all operations cost nothing, expected one that costs something");
  return table;
}

}  // namespace drnas
