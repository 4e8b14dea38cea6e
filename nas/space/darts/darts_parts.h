// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "engine/ops/derived_ops.h"
#include "nas/space/network_builder.h"

namespace drnas {

/// What networks of the DARTS space have outside their cells' operations.

/// 3x3 convolutions with BN in front of the cells: one, or three of stride 2.
struct DartsStemLayer {
  std::string name;
  Variable weight;
  NormParameters norm;
  int stride;
  bool relu;  ///< of the convolution's input
};
std::vector<DartsStemLayer> build_cifar_stem(NetworkBuilder& builder, int width);
std::vector<DartsStemLayer> build_imagenet_stem(NetworkBuilder& builder, int first, int width);
/// Brings an input of a cell to its width: ReLU, a 1x1 convolution or the two of a factorised
/// reduction, BN.
struct DartsPreprocess {
  std::string name;
  std::vector<Variable> weights;
  NormParameters norm;
  bool factorized = false;
};
DartsPreprocess build_preprocess(NetworkBuilder& builder, const std::string& name, int in, int out,
                                 bool factorized, bool affine = true);
/// Those of one cell: of the output before the last one, and of the last one.
using DartsPreprocesses = std::array<DartsPreprocess, 2>;

/// Runs the stem and the cells one after the other, each on its two preprocessed inputs; what
/// several cells read is preprocessed for all of them at once. The last cell's output.
Variable run_cells(
    Tape& tape, const std::vector<DartsStemLayer>& stem, const Variable& images,
    const std::vector<const DartsPreprocesses*>& cells, bool training,
    const std::function<Variable(int cell, const std::array<Variable, 2>& inputs)>& run_cell);

/// A factorised reduction without its BN.
Variable run_reduction(Tape& tape, const std::string& name, const Variable& x,
                       const std::vector<Variable>& weights);

/// x / 2 rounded up: pixels after a convolution of stride 2 that pads.
constexpr int halved(int pixels) { return (pixels + 1) / 2; }

}  // namespace drnas
