// SPDX-License-Identifier: MIT
#include "kernels/layers/conv1x1.h"

#include <algorithm>

#include "kernels/layers/gemm_block.h"

namespace drnas::kernels {
namespace {

/// Pixels whose `depth` channels fill half of a 32 KiB first-level cache.
int pixels_in_cache(int depth) { return std::max(8, 4096 / depth / 8 * 8); }

}  // namespace

bool Conv1x1Plan::supports(const Conv2d& s, ConvPass) {
  return s.kernel == 1 && s.stride == 1 && s.padding == 0 && s.c_in % channel_multiple == 0 &&
         s.c_out % channel_multiple == 0;
}

Conv1x1Plan::Conv1x1Plan(const Conv2d& s, ConvPass pass)
    : pass_(pass),
      pixels_(s.n * s.h * s.w),
      depth_(pass == ConvPass::backward_data ? s.c_out : s.c_in),
      columns_(pass == ConvPass::backward_data ? s.c_in : s.c_out),
      column_block_(gemm_columns(columns_)) {}

void Conv1x1Plan::pack(const float* weights, int rows, int columns, float* packed) const {
  std::fill_n(packed, std::int64_t{depth_} * columns_, 0.0f);
  const bool transposed = pass_ == ConvPass::backward_data;
  for (int row = 0; row < rows; ++row)
    for (int column = 0; column < columns; ++column)
      packed[transposed ? packed_at(row, column) : packed_at(column, row)] =
          weights[std::int64_t{row} * columns + column];
}

void Conv1x1Plan::unpack(const float* packed, float* weights, int rows, int columns) const {
  for (int row = 0; row < rows; ++row)
    for (int column = 0; column < columns; ++column)
      weights[std::int64_t{row} * columns + column] = packed[packed_at(column, row)];
}

void Conv1x1Plan::run(const float* x, const float* packed, const float* y, bool accumulate) const {
  const bool gradient = pass_ == ConvPass::backward_weight;
  const float* left = pass_ == ConvPass::backward_data ? y : x;
  float* right = const_cast<float*>(pass_ == ConvPass::backward_data ? x : y);
  const int block = pixels_in_cache(depth_);
  for (int first = 0; first < pixels_; first += block) {
    const int count = std::min(block, pixels_ - first);
    const float* rows = left + std::int64_t{first} * depth_;
    for (int column = 0; column < columns_; column += column_block_) {
      float* panel = const_cast<float*>(packed) + std::int64_t{column} * depth_;
      float* image = right + std::int64_t{first} * columns_ + column;
      if (gradient)
        gemm_block<true>({depth_, count, rows, depth_, image, columns_, panel, column_block_,
                          accumulate || first > 0},
                         column_block_);
      else
        gemm_block<false>(
            {count, depth_, rows, depth_, panel, column_block_, image, columns_, accumulate},
            column_block_);
    }
  }
}

}  // namespace drnas::kernels
