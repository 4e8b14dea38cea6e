// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/ops/mixed_ops.h"
#include "engine/ops/ops.h"
#include "nas/space/supernet.h"

namespace drnas {

/// The NAS-Bench-201 search supernet: stem, cells of four nodes and six mixed edges, two residual
/// blocks of stride 2, head. Every cell uses the same mixing weights theta [6, 5]; rows: edges
/// 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2; columns: none, skip_connect, nor_conv_1x1, nor_conv_3x3,
/// avg_pool_3x3.
class Nb201Supernet final : public Supernet {
 public:
  static constexpr int nodes = 4, edges = 6, ops = 5;

  /// Allocates and initialises all weights.
  Nb201Supernet(const SupernetOptions& options, std::uint64_t seed, Device device = Device::cpu);

  Variable forward(Tape& tape, const Variable& images, const Variable& theta,
                   const SupernetPass& pass) const override;
  const std::vector<Variable>& leaves() const override { return leaves_; }

 private:
  /// A weight declared before the buffers exist, bound to its leaf afterwards.
  struct Declared {
    std::int64_t offset = -1;
    Shape shape;
    std::string name;
    Variable leaf;
  };
  struct Norm {
    Declared gamma, beta;
    std::int64_t mean = -1, var = -1;
    std::int64_t channels = 0;
  };
  struct ReluConvNorm {
    Declared weight;
    Norm norm;
    int stride = 1;
  };
  /// One kernel size of a bundle, over the edges that have it.
  struct BundleConvolution {
    Declared weight;
    std::int64_t mean = -1, var = -1;
  };
  struct CellBundle {
    std::vector<BundleConvolution> convolutions;  // those of 1x1, 3x3 that some edge has
    BundleParameters parameters;
  };
  struct Cell {
    std::string name;
    std::array<CellBundle, nodes - 1> bundles;  // by source node
  };
  struct ResidualBlock {
    std::string name;
    ReluConvNorm a, b;
    Declared shortcut;
  };

  Declared declare(const std::string& name, Shape shape, Initial initial,
                   bool continues_group = false);
  Norm declare_norm(const std::string& name, std::int64_t channels);
  ReluConvNorm declare_relu_conv_norm(const std::string& name, int in, int out, int stride);
  Cell declare_cell(int index, int channels);
  CellBundle declare_bundle(const std::string& cell, int source, int channels,
                            RawOutputs raw_outputs);
  BundleConvolution declare_convolution(const std::string& cell, int source, int size,
                                        std::uint8_t present, int channels);
  ResidualBlock declare_block(int index, int in, int out);
  void bind();
  void bind(Declared& declared);
  void bind(CellBundle& bundle);

  Variable run_norm(Tape& tape, const std::string& name, const Norm& norm, const Variable& x,
                    bool training, bool relu) const;
  Variable run_convolution(Tape& tape, const std::string& name, const ReluConvNorm& op,
                           const Variable& x, bool relu) const;
  Variable run_relu_conv_norm(Tape& tape, const std::string& name, const ReluConvNorm& op,
                              const Variable& x, bool training) const;
  Variable run_shortcut(Tape& tape, const ResidualBlock& block, const Variable& x) const;
  /// What of a bundle runs in this pass.
  BundleParameters active_part(const CellBundle& bundle, int source, const Variable& theta,
                               const SupernetPass& pass) const;
  Bundle run_bundle(Tape& tape, const Cell& cell, int source, const Variable& node,
                    const Variable& theta, const SupernetPass& pass) const;
  /// Indices in theta of an edge's convolutions, per kernel size of the bundle that it leaves.
  std::vector<int> conv_theta(const SupernetPass& pass, const Cell& cell, int source,
                              int edge) const;
  Variable run_cell(Tape& tape, const Cell& cell, const Variable& x, const Variable& theta,
                    const SupernetPass& pass, bool before_cell) const;
  Variable run_block(Tape& tape, const ResidualBlock& block, const Variable& x,
                     bool training) const;
  /// The same where there is no backward pass: the first convolution's result is rectified once, by
  /// the norm that writes it, and the last norm adds the shortcut.
  Variable evaluate_block(Tape& tape, const ResidualBlock& block, const Variable& x) const;

  std::vector<Variable> leaves_;
  Declared stem_, classifier_weight_, classifier_bias_;
  Norm stem_norm_, head_norm_;
  std::vector<Cell> cells_;  // 3N, in order
  int declared_cells_ = 0;
  std::vector<ResidualBlock> blocks_;  // 2
};

}  // namespace drnas
