// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "engine/ops/plane_ops.h"

namespace drnas {

/// What a derived cell of the DARTS space consists of, on planes: a node is a sum of operations,
/// each of which adds its normalised result to the same memory, so that no result exists on its
/// own. All run in training and in evaluation mode; backward throws Error in evaluation mode.

/// Weights of a batch normalisation, empty where it has none (1 and 0), and running statistics.
struct NormParameters {
  Variable gamma, beta;
  Tensor mean, var;
};

/// Where an operation's result goes.
struct Summand {
  Variable sum;             ///< planes; operations of one node share it
  bool accumulate = false;  ///< add to what is there; the node's first operation overwrites
  Tensor image_scale;       ///< [1, 1, 1, n] factors of the images (drop path); empty: 1
};

/// skip_connect at stride 1: x itself, never dropped. Saves nothing.
void add_identity(Tape& tape, const std::string& name, const Variable& x, const Summand& to);

/// BN(x). Saves x, mean and 1/std.
void add_normalised(Tape& tape, const std::string& name, const Variable& x,
                    const NormParameters& norm, const Summand& to, bool training);

/// BN(3x3 pooling of x). Saves the pooled planes and their statistics, for maximum pooling x too.
struct PoolOperation {
  bool max = true;
  int stride = 1;
  NormParameters norm;
};
void add_pooled(Tape& tape, const std::string& name, const Variable& x, const PoolOperation& pool,
                const Summand& to, bool training);

/// One half (dilated) or two (sep_conv) of ReLU, depthwise filter, 1x1 convolution and batch
/// normalisation, the first with the stride. The normalisation between the halves happens on load.
struct SeparableOperation {
  struct Half {
    Variable depthwise, pointwise;  ///< [c, kernel, kernel, 1], [c_out, 1, 1, c]
    NormParameters norm;
  };
  int kernel = 3, dilation = 1, stride = 1;
  std::vector<Half> halves;
};
/// Saves x, the raw output of every half and its statistics.
void add_separable(Tape& tape, const std::string& name, const Variable& x,
                   const SeparableOperation& operation, const Summand& to, bool training);

/// max(0, x), x dense. Saves x.
Variable rectify(Tape& tape, const std::string& name, const Variable& x);

/// weight [c_out, 1, k, c_in] or [c_out, k, 1, c_in] in the middle of zeros [c_out, k, k, c_in], k
/// odd: a convolution with one row or column as a square one. Saves nothing.
Variable square_filter(Tape& tape, const std::string& name, const Variable& weight);

/// The scalar a + factor b; factor [1, 1, 1, 1]. Saves b and the factor.
Variable weighted_sum(Tape& tape, const std::string& name, const Variable& a, const Variable& b,
                      const Tensor& factor);

}  // namespace drnas
