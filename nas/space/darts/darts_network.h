// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "nas/space/darts/darts_genotype.h"
#include "nas/space/darts/darts_operation.h"
#include "nas/space/darts/darts_parts.h"
#include "nas/space/derived_network.h"

namespace drnas {

/// A network of derived cells of the DARTS space (Liu et al., ICLR 2019): stem, cells whose nodes
/// sum two operations each, those at a third and two thirds of the depth with stride 2, global
/// average, classifier; an auxiliary head for training. Activations lie in planes.
class DartsNetwork final : public DerivedNetwork {
 public:
  DartsNetwork(const DerivedOptions& options, std::uint64_t seed, Device device);

  Logits forward(Tape& tape, const Variable& images, const DerivedPass& pass) const override;
  NetworkCost cost() const override;
  ParameterStore& parameters() override { return parameters_; }
  const std::vector<Variable>& leaves() const override { return builder_.leaves(); }

 private:
  /// What a gene of a cell stands for.
  struct Operation : DartsOperation {
    int source;
    int draw = -1;  // row of the drop path draw
  };
  struct Cell {
    std::string name;
    const DartsCellGenotype* genotype;
    bool reduction;
    int channels, pixels;  // of a node; width and height of an input
    DartsPreprocesses preprocess;
    std::vector<Operation> operations;

    int out_pixels() const { return reduction ? pixels / 2 : pixels; }
  };
  struct AuxiliaryHead {
    Variable narrow, wide;  // 1x1 and 2x2 convolution
    NormParameters narrow_norm;
    std::optional<NormParameters> wide_norm;  // none on ImageNet
    Variable weight, bias;
  };

  bool reduces(int cell) const;
  int auxiliary_cell() const { return 2 * options_.layers / 3; }
  /// Width of the stem's last result.
  int stem_pixels() const;
  /// Throws Error where an operation does not fit the image.
  void check() const;
  void build();
  void build_auxiliary(int channels);

  Tensor draw_scales(const Tape& tape, std::int64_t images, const DerivedPass& pass) const;
  Variable run_cell(Tape& tape, const Cell& cell, const std::array<Variable, 2>& inputs,
                    const Tensor& scales, bool training) const;
  Variable run_auxiliary(Tape& tape, const Variable& x, bool training) const;

  DerivedOptions options_;
  DartsGenotype genotype_;
  std::uint64_t seed_;
  ParameterStore parameters_;
  NetworkBuilder builder_;
  std::vector<DartsStemLayer> stem_;
  std::vector<Cell> cells_;
  std::optional<AuxiliaryHead> auxiliary_;
  Variable classifier_weight_, classifier_bias_;
  int draws_ = 0;  // operations that drop path may drop
};

}  // namespace drnas
