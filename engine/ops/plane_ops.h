// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "engine/ops/ops.h"
#include "kernels/planes/planes.h"

namespace drnas {

/// Differentiable operations on planes [n, c, h, w] (see kernels/planes/planes.h), float32.

/// The kernels' view of a tensor in planes; throws Error for another layout.
kernels::Planes planes_of(const Tensor& tensor);
kernels::ConstPlanes const_planes_of(const Tensor& tensor);

/// Sets planes to zero, a range of channels too.
void fill_zero(const Tensor& planes);

/// NHWC -> planes and back. Save nothing.
Variable to_planes(Tape& tape, const std::string& name, const Variable& x);
Variable from_planes(Tape& tape, const std::string& name, const Variable& x);

/// Mean over all pixels: planes -> [n, 1, 1, c]. Saves nothing.
Variable average_planes(Tape& tape, const std::string& name, const Variable& x);

/// One result of conv1x1_planes: 1x1 convolutions whose outputs stand one after the other.
struct Conv1x1Result {
  struct Part {
    Variable weight;  ///< [c_out, 1, 1, c_in]
    int offset = 0;   ///< first row and column that it reads; stride 2 only
  };
  std::vector<Part> parts;
};
struct Conv1x1Options {
  bool relu = true;
  int stride = 1;
};
/// 1x1 convolutions that read x together. Saves x.
std::vector<Variable> conv1x1_planes(Tape& tape, const std::string& name, const Variable& x,
                                     const std::vector<Conv1x1Result>& results,
                                     Conv1x1Options options);

/// Batch normalisation; gamma and beta may be empty (1 and 0). Saves x, mean and 1/std.
Variable plane_norm(Tape& tape, const std::string& name, const Variable& x, const Variable& gamma,
                    const Variable& beta, const Tensor& running_mean, const Tensor& running_var,
                    BatchNormOptions options);

/// The same without gamma and beta, in x's memory: x gives up its value. Saves the result and
/// 1/std.
Variable plane_norm_in_place(Tape& tape, const std::string& name, const Variable& x,
                             const Tensor& running_mean, const Tensor& running_var,
                             BatchNormOptions options);

/// `whole` as a variable whose parts, channel ranges of its memory in this order, were made before.
/// Their gradients are ranges of its gradient.
Variable join_planes(Tape& tape, const std::string& name, const Tensor& whole,
                     const std::vector<Variable>& parts);

}  // namespace drnas
