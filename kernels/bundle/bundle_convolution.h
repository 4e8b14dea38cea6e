// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <variant>

#include "kernels/layers/conv1x1.h"
#include "kernels/layers/conv2d_plan.h"
#include "kernels/layers/winograd.h"

namespace drnas::kernels {

/// One pass of a bundle's convolution on one thread's chunk by the fastest method for the shape:
/// Winograd for 3x3, a matrix product for 1x1, oneDNN for the rest. A small value; may run on
/// several threads at once.
class BundleConvolution {
 public:
  BundleConvolution(const Conv2d& shape, ConvPass pass);

  std::size_t packed_bytes() const;
  /// Per thread; 256-byte aligned by the caller, like packed weights.
  std::size_t scratch_bytes() const;
  /// Floats of `staging` that pack and unpack need.
  std::int64_t staging_floats() const;
  /// Packs [rows, kernel, kernel, columns] (rows <= c_out, columns <= c_in); what is missing counts
  /// as zero.
  void pack(const float* weights, int rows, int columns, float* packed, float* staging) const;
  /// The gradient [rows, kernel, kernel, columns] from the result of backward_weight.
  void unpack(const float* packed, float* weights, int rows, int columns, float* staging) const;
  /// forward: x, packed weights -> y; backward_data: packed weights, y = dy -> x = dx;
  /// backward_weight: x, y = dy -> packed.
  void run(const float* x, const float* packed, const float* y, void* scratch) const;
  /// backward_weight: packed += the gradient of x, dy.
  void add_weight_gradient(const float* x, const float* dy, float* packed, void* scratch) const;

 private:
  using Method = std::variant<WinogradPlan, Conv1x1Plan, const ConvPlan*>;
  static Method choose(const Conv2d& shape, ConvPass pass);

  Conv2d shape_;
  ConvPass pass_;
  Method method_;
};

}  // namespace drnas::kernels
