// SPDX-License-Identifier: MIT
// What the operations of a search cost, and what a mixture of them is expected to.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "nas/space/search_space.h"

namespace drnas {

/// What --cost names.
struct CostOption {
  enum class Kind { none, flops, parameters, latency };
  Kind kind = Kind::none;
  std::filesystem::path file = {};  ///< of latencies
};
/// Reads "flops", "parameters" or "latency:FILE"; empty: none. Throws Error naming --cost.
CostOption parse_cost(const std::string& text);

/// Costs of a network's operations: multiply-adds of one image, parameters, or milliseconds of a
/// batch.
struct CostTable {
  EdgeWeights costs;  ///< [edges][operations] of theta, each summed over all cells
  std::string unit;
  double mean = 0;  ///< of the network that mixes all operations alike

  /// sum over edges and operations of theta times cost, over `mean`: 1 where all of theta is alike.
  double expected(const EdgeWeights& theta) const;
  /// d expected / d theta times `weight`, row-major; with a column of zeros for weights of edges,
  /// where theta has one.
  std::vector<double> gradient(double weight, bool edge_weights = false) const;
  /// Of what an architecture consists of, in units.
  double of(const Architecture& architecture, const SearchSpace& space, bool none) const;
  /// Of all costs: do two tables say the same?
  std::uint32_t checksum() const;
};
/// Of the derived network of these sizes, whose operations see all channels. Throws Error: the
/// space states no costs; the file of latencies is of another space or lacks a shape, or all are
/// zero.
CostTable make_cost_table(const CostOption& option, const SupernetOptions& network, int image_size);

}  // namespace drnas
