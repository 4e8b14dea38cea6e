// SPDX-License-Identifier: MIT
// The 1x1 half of the separable convolutions' CPU twins: products of a small matrix with planes of
// pixels that sit in cache.
#pragma once

#include <cstdint>

#include "kernels/planes/separable_planes.h"

namespace drnas::kernels {

/// Rows of a register block of a packed matrix.
inline constexpr int product_rows = 6;

/// Floats from plane to plane of local buffers of `pixels`: whole lines, and not a multiple of the
/// cache's way, so that a column of planes does not share few places of the cache.
inline std::int64_t local_stride(std::int64_t pixels) { return round_up(pixels, 16) + 16; }

/// A matrix [rows, depth] in blocks of six rows (fewer in the last), each [depth, rows of block].
/// `row` and `column` are strides of the given matrix.
inline void pack_product(const float* matrix, int rows, int depth, int row, int column,
                         float* packed) {
  for (int first = 0; first < rows; first += product_rows) {
    const int count = std::min(product_rows, rows - first);
    for (int k = 0; k < depth; ++k)
      for (int r = 0; r < count; ++r)
        *packed++ = matrix[std::int64_t{first + r} * row + std::int64_t{k} * column];
  }
}

/// out [rows, pixels] = matrix x right [depth, pixels]. Local planes may be read and written up to
/// whole vectors.
struct PlaneProduct {
  int rows, depth;
  const float* packed;
  const float* right;
  std::int64_t right_stride;
  float* out;
  std::int64_t out_stride;
  std::int64_t pixels;
};

/// Rows x Vectors*V pixels from pixel `at`.
template <int V, int Rows, int Vectors>
inline void product_block(const PlaneProduct& p, const float* packed, std::int64_t at, float* out,
                          std::int64_t out_stride) {
  Lanes<V> sum[Rows][Vectors] = {};
  const float* right = p.right + at;
  for (int k = 0; k < p.depth; ++k, right += p.right_stride, packed += Rows) {
    Lanes<V> pixels[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) pixels[v] = keep_in_register<V>(load<V>(right + v * V));
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const Lanes<V> left = broadcast<V>(packed[r]);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sum[r][v] += left * pixels[v];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) store<V>(out + r * out_stride + v * V, sum[r][v]);
}

/// One block of rows over all pixels; exact where the last vector is not whole.
template <int V, int Rows>
void product_block_row(const PlaneProduct& p, int first) {
  const float* packed = p.packed + std::int64_t{first} * p.depth;
  float* out = p.out + first * p.out_stride;
  std::int64_t at = 0;
  for (; at + 2 * V <= p.pixels; at += 2 * V)
    product_block<V, Rows, 2>(p, packed, at, out + at, p.out_stride);
  for (; at + V <= p.pixels; at += V)
    product_block<V, Rows, 1>(p, packed, at, out + at, p.out_stride);
  if (at == p.pixels) return;
  float last[Rows * V];
  product_block<V, Rows, 1>(p, packed, at, last, V);
  for (int r = 0; r < Rows; ++r)
    std::copy_n(last + r * V, p.pixels - at, out + r * p.out_stride + at);
}

template <int V>
void product_rows_of(const PlaneProduct& p, int first, int count) {
  switch (count) {
    case 6:
      return product_block_row<V, 6>(p, first);
    case 5:
      return product_block_row<V, 5>(p, first);
    case 4:
      return product_block_row<V, 4>(p, first);
    case 3:
      return product_block_row<V, 3>(p, first);
    case 2:
      return product_block_row<V, 2>(p, first);
    default:
      return product_block_row<V, 1>(p, first);
  }
}

/// out [rows, columns] += left [rows, pixels] x right^T [pixels, columns], over whole vectors of
/// pixels; left or right is zero after the pixels, and both are finite.
struct WeightProduct {
  int rows, columns;
  const float *left, *right;
  std::int64_t left_stride, right_stride;
  std::int64_t pixels;
  float* out;
};

template <int V, int Rows, int Columns>
inline void weight_block(const WeightProduct& p, int row, int column) {
  Lanes<V> sum[Rows * Columns] = {};
  const float *left = p.left + row * p.left_stride, *right = p.right + column * p.right_stride;
  for (std::int64_t at = 0; at < p.pixels; at += V) {
    Lanes<V> a[Rows];
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r)
      a[r] = keep_in_register<V>(load<V>(left + r * p.left_stride + at));
#pragma GCC unroll 8
    for (int k = 0; k < Columns; ++k) {
      const Lanes<V> b = keep_in_register<V>(load<V>(right + k * p.right_stride + at));
#pragma GCC unroll 4
      for (int r = 0; r < Rows; ++r) sum[r * Columns + k] += a[r] * b;
    }
  }
  float sums[Rows * Columns + 3];
  sum_lanes_of<V>(sum, sums);
  float* out = p.out + std::int64_t{row} * p.columns + column;
  for (int r = 0; r < Rows; ++r)
    for (int k = 0; k < Columns; ++k) out[std::int64_t{r} * p.columns + k] += sums[r * Columns + k];
}

template <int V, int Rows>
void weight_block_row(const WeightProduct& p, int row) {
  int column = 0;
  for (; column + 6 <= p.columns; column += 6) weight_block<V, Rows, 6>(p, row, column);
  for (; column + 2 <= p.columns; column += 2) weight_block<V, Rows, 2>(p, row, column);
  if (column < p.columns) weight_block<V, Rows, 1>(p, row, column);
}

template <int V>
void weight_product(const WeightProduct& p) {
  int row = 0;
  for (; row + 2 <= p.rows; row += 2) weight_block_row<V, 2>(p, row);
  if (row < p.rows) weight_block_row<V, 1>(p, row);
}

}  // namespace drnas::kernels
