// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/layers/conv2d.h"

namespace drnas::kernels {

/// One pass of a 1x1 convolution (stride 1) for one thread: a matrix product over pixels that sit
/// in cache. A small value; may run on several threads at once. Same conventions as WinogradPlan,
/// and no scratch.
class Conv1x1Plan {
 public:
  static bool supports(const Conv2d& shape, ConvPass pass);
  static constexpr int channel_multiple = 8;

  Conv1x1Plan(const Conv2d& shape, ConvPass pass);

  std::size_t packed_bytes() const {
    return sizeof(float) * static_cast<std::size_t>(depth_) * columns_;
  }
  std::size_t scratch_bytes() const { return 0; }
  /// Packs [rows, columns] (rows <= c_out, columns <= c_in); what is missing counts as zero.
  void pack(const float* weights, int rows, int columns, float* packed) const;
  /// The gradient [rows, columns] from the result of backward_weight.
  void unpack(const float* packed, float* weights, int rows, int columns) const;
  /// forward: x, packed weights -> y; backward_data: packed weights, y = dy -> x = dx;
  /// backward_weight: x, y = dy -> packed. With `accumulate` the result is added to what is there.
  void run(const float* x, const float* packed, const float* y, bool accumulate = false) const;

 private:
  /// Place of the weight from `depth` to `column` in [columns/block, depth, block].
  std::int64_t packed_at(int depth, int column) const {
    return (std::int64_t{column} / column_block_ * depth_ + depth) * column_block_ +
           column % column_block_;
  }

  ConvPass pass_;
  int pixels_, depth_, columns_, column_block_;
};

}  // namespace drnas::kernels
