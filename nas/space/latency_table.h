// SPDX-License-Identifier: MIT
// Measured times of single operations, as drnas_search --measure-latency writes them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "nas/space/operation_cost.h"

namespace drnas {

/// Milliseconds of one forward pass over a batch: median of `runs`, and their quartiles.
struct OperationLatency {
  std::string operation;
  OperationShape shape;
  double median = 0, lower = 0, upper = 0;
  int runs = 0;
};

struct LatencyTable {
  std::string space;            ///< as --space takes it
  std::string device;           ///< "cpu", "cuda" and what it is, for the reader of the file
  int threads = 0, images = 0;  ///< processor threads; images of a batch
  std::vector<OperationLatency> operations;

  /// Null where there is none.
  const OperationLatency* find(const std::string& operation, const OperationShape& shape) const;
};

/// JSON with a line an operation.
std::string to_json(const LatencyTable& table);
/// Throws Error naming the file, and the operation that is not as it should be.
LatencyTable read_latency_table(const std::filesystem::path& file);

}  // namespace drnas
