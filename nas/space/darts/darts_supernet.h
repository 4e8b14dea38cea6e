// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <string>
#include <vector>

#include "engine/ops/plane_bundle.h"
#include "nas/space/darts/darts_parts.h"
#include "nas/space/supernet.h"

namespace drnas {

/// The DARTS-space search supernet: cells with two inputs and four nodes whose concatenation is the
/// output, mixed edges from every earlier state. Normal cells use rows 0 to 13 of theta [28, 7],
/// reduction cells rows 14 to 27; rows: node by node, sources in order; columns: max_pool_3x3,
/// avg_pool_3x3, skip_connect, sep_conv_3x3, sep_conv_5x5, dil_conv_3x3, dil_conv_5x5. Activations
/// lie in planes. Layers at a third and at two thirds of the depth reduce and double the channels.
class DartsSupernet final : public Supernet {
 public:
  static constexpr int nodes = 4, cell_edges = 14, edges = 2 * cell_edges, ops = 7;

  /// Allocates and initialises all weights. Throws Error for less than three cells.
  DartsSupernet(const SupernetOptions& options, std::uint64_t seed, Device device = Device::cpu);

  Variable forward(Tape& tape, const Variable& images, const Variable& theta,
                   const SupernetPass& pass) const override;
  const std::vector<Variable>& leaves() const override { return builder_.leaves(); }

 private:
  struct Cell {
    std::string name;
    bool reduction;
    int channels;
    DartsPreprocesses preprocess;
    std::array<PlaneBundleParameters, nodes + 1> bundles;  // by source state
  };

  void build();
  /// Columns of theta before those of the operations.
  int first_op() const { return options_.none ? 1 : 0; }
  void build_bundles(Cell& cell, bool rebuild);
  PlaneBundleEdge build_edge(const std::string& name, int row, int c, int stride);
  SeparableCandidate build_separable(const std::string& name, int op, int c);
  FactorizedReduction build_reduction(const std::string& name, int c);
  void build_pools(const Cell& cell, int source, PlaneBundleParameters& bundle);

  /// What of a state's bundle runs in this pass.
  PlaneBundleParameters active_part(const Cell& cell, int source, const Variable& theta,
                                    const SupernetPass& pass) const;
  Variable run_cell(Tape& tape, const Cell& cell, const std::array<Variable, 2>& inputs,
                    const Variable& theta, const SupernetPass& pass) const;

  NetworkBuilder builder_;
  std::vector<DartsStemLayer> stem_;
  std::vector<Cell> cells_;
  Variable classifier_weight_, classifier_bias_;
};

}  // namespace drnas
