// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <vector>

#include "nas/space/derived_network.h"
#include "nas/space/nb201/nb201_cell.h"
#include "nas/space/network_builder.h"

namespace drnas {

/// A network of one NAS-Bench-201 cell (Dong and Yang, ICLR 2020), as that benchmark trained it:
/// stem, three sections of N cells with C, 2C, 4C channels, residual blocks of stride 2 between
/// them, head. On NHWC; without drop path and auxiliary head.
class Nb201Network final : public DerivedNetwork {
 public:
  Nb201Network(const DerivedOptions& options, std::uint64_t seed, Device device);

  Logits forward(Tape& tape, const Variable& images, const DerivedPass& pass) const override;
  NetworkCost cost() const override;
  ParameterStore& parameters() override { return parameters_; }
  const std::vector<Variable>& leaves() const override { return builder_.leaves(); }

 private:
  /// ReLU, convolution, BN.
  struct Convolution {
    std::string name;
    Variable weight;
    NormParameters norm;
    int kernel, stride;
  };
  struct Cell {
    std::string name;
    std::array<Convolution, Nb201Cell::edges> convolutions;  // of edges that have one
  };
  struct Block {
    std::string name;
    Convolution a, b;
    Variable shortcut;
  };

  void build();
  Convolution build_convolution(const std::string& name, int in, int out, int kernel, int stride);
  Cell build_cell(int index, int channels);
  Block build_block(int index, int in, int out);

  Variable convolve(Tape& tape, const Convolution& convolution, const Variable& x, bool relu) const;
  Variable run_convolution(Tape& tape, const Convolution& convolution, const Variable& x,
                           bool training) const;
  Variable run_cell(Tape& tape, const Cell& cell, const Variable& x, bool training) const;
  Variable run_shortcut(Tape& tape, const Block& block, const Variable& x) const;
  Variable run_block(Tape& tape, const Block& block, const Variable& x, bool training) const;
  /// The same where there is no backward pass: the first convolution's result is rectified once, by
  /// the norm that writes it, and the last norm adds the shortcut.
  Variable evaluate_block(Tape& tape, const Block& block, const Variable& x) const;

  DerivedOptions options_;
  Nb201Cell genotype_;
  ParameterStore parameters_;
  NetworkBuilder builder_;
  Variable stem_, classifier_weight_, classifier_bias_;
  NormParameters stem_norm_, head_norm_;
  std::vector<Cell> cells_;    // 3N, in order
  std::vector<Block> blocks_;  // 2
};

}  // namespace drnas
