// SPDX-License-Identifier: MIT
// Products of many pairs of matrices of one shape, on CUDA.
#pragma once

#include <cstdint>

#include "kernels/core/device.h"

namespace drnas::kernels {

/// The matrices of one side: row-major in memory, rows `row_stride` elements apart, one matrix
/// `batch_stride` from the next (0: the same for all).
struct BatchedOperand {
  const float* data;
  int row_stride;
  std::int64_t batch_stride;
  bool transposed = false;  ///< memory holds the transpose
};

/// out_i = left_i right_i for i < batch: left [rows, depth], right [depth, columns], out [rows,
/// columns] dense; overwritten, or added to where `accumulate`.
struct BatchedProduct {
  int batch, rows, columns, depth;
  BatchedOperand left, right;
  float* out;
  std::int64_t out_stride;  ///< from matrix to matrix
  bool accumulate = false;
  bool exact = false;  ///< true float32 whatever conv_math() says
};

/// In the mode of conv_math(); `name` goes into errors. Deterministic.
void batched_product(const char* name, const BatchedProduct& p, Stream stream);

}  // namespace drnas::kernels
