// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <string>
#include <vector>

#include "engine/plane_bundle.h"
#include "nas/network_builder.h"
#include "nas/supernet.h"

namespace drnas {

/// The DARTS-space search supernet: cells with two inputs and four nodes whose concatenation is the
/// output, mixed edges from every earlier state. Normal cells use rows 0 to 13 of theta [28, 7],
/// reduction cells rows 14 to 27; rows: node by node, sources in order; columns: max_pool_3x3,
/// avg_pool_3x3, skip_connect, sep_conv_3x3, sep_conv_5x5, dil_conv_3x3, dil_conv_5x5. Activations
/// lie in planes. Layers at a third and at two thirds of the depth reduce and double the channels.
class DartsSupernet final : public Supernet {
 public:
  static constexpr int nodes = 4, cell_edges = 14, edges = 2 * cell_edges, ops = 7;
  static const std::array<std::string, ops>& op_names();

  /// Allocates and initialises all weights. Throws Error for less than three cells.
  DartsSupernet(const SupernetOptions& options, std::uint64_t seed, Device device = Device::cpu);

  Variable forward(Tape& tape, const Variable& images, const Variable& theta,
                   bool training) const override;
  const std::vector<Variable>& leaves() const override { return builder_.leaves(); }

 private:
  struct Norm {
    Variable gamma, beta;  // empty inside cells
    Tensor mean, var;
  };
  struct StemConvolution {
    std::string name;
    Variable weight;
    Norm norm;
    int stride;
    bool relu;  // of the convolution's input
  };
  /// Brings an input of a cell to its width: one convolution, or the two of a factorised reduction.
  struct Preprocess {
    std::string name;
    std::vector<Variable> weights;
    Norm norm;
    bool factorized = false;
  };
  struct Cell {
    std::string name;
    bool reduction;
    int channels;
    std::array<Preprocess, 2> preprocess;
    std::array<PlaneBundleParameters, nodes + 1> bundles;  // by source state
  };

  void build();
  Norm build_norm(const std::string& name, int channels, bool affine, const std::string& axis = {});
  void build_stem();
  Preprocess build_preprocess(const std::string& name, int in, int out, bool factorized);
  void build_bundles(Cell& cell, bool rebuild);
  PlaneBundleEdge build_edge(const std::string& name, int row, int c, int stride);
  SeparableCandidate build_separable(const std::string& name, int op, int c);
  FactorizedReduction build_reduction(const std::string& name, int c);
  void build_pools(const Cell& cell, int source, PlaneBundleParameters& bundle);

  Variable run_norm(Tape& tape, const std::string& name, const Norm& norm, const Variable& x,
                    bool training) const;
  std::array<Variable, 2> run_stem(Tape& tape, const Variable& images, bool training) const;
  void preprocess(Tape& tape, const Variable& x, const std::vector<const Preprocess*>& readers,
                  std::vector<Variable>& results, bool training) const;
  Variable run_cell(Tape& tape, const Cell& cell, const std::array<Variable, 2>& inputs,
                    const Variable& theta, bool training) const;

  NetworkBuilder builder_;
  std::vector<StemConvolution> stem_;
  std::vector<Cell> cells_;
  Variable classifier_weight_, classifier_bias_;
};

}  // namespace drnas
