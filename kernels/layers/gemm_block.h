// SPDX-License-Identifier: MIT
// A small matrix product for operands that sit in cache: C [rows, columns] (+)= A B with `columns`
// at most three vectors, accumulated in registers.
#pragma once

#include <cstdint>

#include "kernels/core/simd.h"

namespace drnas::kernels {

/// Lanes of the register block; eight floats are one AVX register and two NEON ones.
inline constexpr int gemm_lanes = 8;

/// Column block for a matrix of `columns` (a multiple of eight): the widest of 24, 16 and 8 that
/// divides it.
inline constexpr int gemm_columns(int columns) {
  return columns % 24 == 0 ? 24 : columns % 16 == 0 ? 16 : 8;
}

/// Rows of a register block; divides every multiple of eight.
inline constexpr int gemm_rows(int vectors) { return vectors == 1 ? 8 : 4; }

/// Stops the compiler from reading v again from memory at every use: the loads would outnumber the
/// multiply-adds.
inline Lanes<gemm_lanes> in_register(Lanes<gemm_lanes> v) {
#ifdef __AVX__
  asm("" : "+x"(v));
#endif
  return v;
}

struct GemmBlock {
  int rows, depth;
  const float* a;  ///< [rows, depth] or, transposed, [depth, rows]
  std::int64_t a_stride;
  const float* b;  ///< [depth, columns]
  std::int64_t b_stride;
  float* c;  ///< [rows, columns]
  std::int64_t c_stride;
  bool accumulate;  ///< C += A B instead of C = A B
};

/// Rows x Vectors*8 of C from row `row`, in registers for the whole depth.
template <int Rows, int Vectors, bool Transposed>
inline void gemm_registers(const GemmBlock& g, int row) {
  constexpr int V = gemm_lanes;
  Lanes<V> sum[Rows][Vectors] = {};
  const float* __restrict a = Transposed ? g.a + row : g.a + row * g.a_stride;
  const float* __restrict b = g.b;
  float* c = g.c + row * g.c_stride;
  const std::int64_t a_stride = g.a_stride, b_stride = g.b_stride;
  for (int k = 0; k < g.depth; ++k) {
    Lanes<V> right[Vectors];
#pragma GCC unroll 3
    for (int v = 0; v < Vectors; ++v) right[v] = in_register(load<V>(b + v * V));
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const float left = Transposed ? a[r] : a[r * a_stride];
#pragma GCC unroll 3
      for (int v = 0; v < Vectors; ++v) sum[r][v] += left * right[v];
    }
    a += Transposed ? a_stride : 1;
    b += b_stride;
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 3
    for (int v = 0; v < Vectors; ++v) {
      float* to = c + r * g.c_stride + v * V;
      store<V>(to, g.accumulate ? load<V>(to) + sum[r][v] : sum[r][v]);
    }
}

/// The last rows that do not fill a register block.
template <int Rows, int Vectors, bool Transposed>
inline void gemm_remainder(const GemmBlock& g, int row) {
  if constexpr (Rows > 0) {
    if (g.rows - row == Rows) return gemm_registers<Rows, Vectors, Transposed>(g, row);
    gemm_remainder<Rows - 1, Vectors, Transposed>(g, row);
  }
}

template <int Vectors, bool Transposed>
inline void gemm_all_rows(const GemmBlock& g) {
  constexpr int rows = gemm_rows(Vectors);
  int row = 0;
  for (; row + rows <= g.rows; row += rows) gemm_registers<rows, Vectors, Transposed>(g, row);
  gemm_remainder<rows - 1, Vectors, Transposed>(g, row);
}

/// C (+)= A B, or A^T B where A is transposed, for `columns` of 8, 16 or 24.
template <bool Transposed>
inline void gemm_block(const GemmBlock& g, int columns) {
  if (columns == 24) return gemm_all_rows<3, Transposed>(g);
  if (columns == 16) return gemm_all_rows<2, Transposed>(g);
  gemm_all_rows<1, Transposed>(g);
}

}  // namespace drnas::kernels
