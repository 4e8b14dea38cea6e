// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/mixed_ops.h"
#include "engine/ops.h"
#include "engine/parameters.h"

namespace drnas {

/// What happens to raw convolution outputs between the forward and the backward pass: kept, those
/// of 1x1 convolutions rebuilt from the nodes (a tenth of the FLOPs, two fifths of the bytes), or
/// all rebuilt. The results are the same bit by bit.
enum class RawOutputs { store, rebuild_1x1, rebuild };
/// store, rebuild-1x1, rebuild.
const char* to_string(RawOutputs mode);

/// Size of a NAS-Bench-201 supernet (Dong and Yang, ICLR 2020): three stages of `cells` cells with
/// C, 2C, 4C channels.
struct SupernetOptions {
  int channels = 16;  ///< C
  int cells = 5;      ///< N, per stage
  int classes = 10;
  int partial_channels = 1;  ///< K: candidate operations see C/K channels
  RawOutputs raw_outputs = RawOutputs::rebuild_1x1;
  DType storage = DType::f32;  ///< of activations and their gradients from the stem's output on;
                               ///< bf16 needs CUDA
};

/// The NAS-Bench-201 search supernet: stem, cells of four nodes and six mixed edges, two residual
/// blocks of stride 2, head. Every cell uses the same mixing weights theta [6, 5]; rows: edges
/// 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2; columns: none, skip_connect, nor_conv_1x1, nor_conv_3x3,
/// avg_pool_3x3. Parameters carry the published names.
class Nb201Supernet {
 public:
  static constexpr int nodes = 4, edges = 6, ops = 5;

  /// Allocates and initialises all weights. Throws Error where K does not divide C.
  Nb201Supernet(const SupernetOptions& options, std::uint64_t seed, Device device = Device::cpu);

  /// images [n, h, w, 3] -> logits [n, 1, 1, classes]. In training, batch statistics normalise and
  /// running ones move.
  Variable forward(Tape& tape, const Variable& images, const Variable& theta, bool training) const;

  const SupernetOptions& options() const { return options_; }
  ParameterStore& parameters() { return parameters_; }
  const ParameterStore& parameters() const { return parameters_; }
  /// Every weight as leaves, for Tape::backward.
  const std::vector<Variable>& leaves() const { return leaves_; }

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
  struct CellBundle {
    std::array<Declared, 2> weight;  // 1x1, 3x3
    std::array<std::int64_t, 2> mean{}, var{};
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
  CellBundle declare_bundle(const std::string& cell, int source, int channels);
  ResidualBlock declare_block(int index, int in, int out);
  void bind();
  void bind(Declared& declared);
  void bind(CellBundle& bundle);

  Variable run_norm(Tape& tape, const std::string& name, const Norm& norm, const Variable& x,
                    bool training, bool relu) const;
  Variable run_relu_conv_norm(Tape& tape, const std::string& name, const ReluConvNorm& op,
                              const Variable& x, bool training) const;
  Variable run_cell(Tape& tape, const Cell& cell, const Variable& x, const Variable& theta,
                    bool training) const;
  Variable run_block(Tape& tape, const ResidualBlock& block, const Variable& x,
                     bool training) const;

  SupernetOptions options_;
  ParameterStore parameters_;
  std::vector<Variable> leaves_;
  Declared stem_, classifier_weight_, classifier_bias_;
  Norm stem_norm_, head_norm_;
  std::vector<Cell> cells_;            // 3N, in order
  std::vector<ResidualBlock> blocks_;  // 2
};

}  // namespace drnas
