// SPDX-License-Identifier: MIT
// Products of matrices by a warp, for .cu files: 16 M rows times 8 N columns, both operands in
// shared memory, in three kinds of numbers that share one order of lanes (mma.h). Depth comes in
// chunks of 16 bytes, neighbours of one row; a step multiplies two of them.
#pragma once

#include "kernels/core/cuda_vector.h"
#include "kernels/core/mma.h"

namespace drnas::kernels {

/// 16 bytes of neighbouring depth of one row.
template <class T>
using Chunk = Vector<T, 16 / sizeof(T)>;

/// bfloat16 on tensor cores.
struct Bfloat16Numbers {
  using Stored = bfloat16;
  static constexpr bool tensor = true;
  static __device__ Stored operand(float value) { return static_cast<bfloat16>(value); }
  static __device__ void multiply_add(float (&d)[4], const unsigned (&a)[4],
                                      const unsigned (&b)[2]) {
    multiply_add_bf16(d, a, b);
  }
};
/// float32 on tensor cores, operands rounded to TF32.
struct Tf32Numbers {
  using Stored = float;
  static constexpr bool tensor = true;
  static __device__ Stored operand(float value) {
    const unsigned bits = to_tf32(value);
    float rounded;
    memcpy(&rounded, &bits, sizeof rounded);
    return rounded;
  }
  static __device__ void multiply_add(float (&d)[4], const unsigned (&a)[4],
                                      const unsigned (&b)[2]) {
    multiply_add_tf32(d, a, b);
  }
};
/// float32 by multiply-adds, depth in ascending order.
struct Fp32Numbers {
  using Stored = float;
  static constexpr bool tensor = false;
  static __device__ Stored operand(float value) { return value; }
};

/// Which rows of A this lane looks up: of each 16 one for tensor cores, the two of its own sums
/// else.
template <class Numbers>
struct LaneRows {
  static constexpr int count = Numbers::tensor ? 1 : 2;
  __device__ static int row(int lane, int i) {
    return Numbers::tensor ? lane % 16 : lane / 4 + 8 * i;
  }
};

/// A of a product: row r of chunk j lies at chunks[start of r + offset of j]; start[m][i] is that
/// of row 16 m + LaneRows::row(lane, i). Where the offset is negative all rows are chunks[zero].
template <class Numbers, int M>
struct LeftOperand {
  using C = Chunk<typename Numbers::Stored>;
  const C* chunks;
  int zero;
  int start[M][LaneRows<Numbers>::count];

  __device__ const C* at(int m, int i, int offset) const {
    return chunks + (offset < 0 ? zero : start[m][i] + offset);
  }
};

/// sums += A B over two chunks of depth. offsets: of both in A. B: chunk j of column n lies at
/// b[j * pitch + n].
template <class Numbers, int M, int N>
__device__ inline void multiply_step(float (&sums)[M][N][4], const LeftOperand<Numbers, M>& a,
                                     const int* offsets, const Chunk<typename Numbers::Stored>* b,
                                     int pitch) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if constexpr (Numbers::tensor) {
    unsigned right[N][2];
    if constexpr (N == 1) {
      load_matrices(right[0], b + lane / 8 % 2 * pitch + lane % 8);
    } else {
      static_assert(N % 2 == 0);
      for (int n = 0; n < N; n += 2) {
        unsigned two[4];
        load_matrices(two, b + lane / 8 % 2 * pitch + 8 * n + lane / 16 * 8 + lane % 8);
        for (int i = 0; i < 4; ++i) right[n + i / 2][i % 2] = two[i];
      }
    }
    const int offset = offsets[lane / 16];
    for (int m = 0; m < M; ++m) {
      unsigned left[4];
      load_matrices(left, a.at(m, 0, offset));
      for (int n = 0; n < N; ++n) Numbers::multiply_add(sums[m][n], left, right[n]);
    }
  } else {
    using C = Chunk<float>;
    const C* columns = b + lane % 4 * 2;
    for (int j = 0; j < 2; ++j) {
      C right[N][2];
      for (int n = 0; n < N; ++n)
        for (int i = 0; i < 2; ++i) right[n][i] = load_packed(columns + j * pitch + 8 * n + i);
      for (int m = 0; m < M; ++m)
        for (int i = 0; i < 2; ++i) {
          const C left = load_packed(a.at(m, i, offsets[j]));
          for (int n = 0; n < N; ++n)
            for (int k = 0; k < 4; ++k)
              for (int v = 0; v < 2; ++v)
                sums[m][n][2 * i + v] =
                    fmaf(left.element[k], right[n][v].element[k], sums[m][n][2 * i + v]);
        }
    }
  }
}

}  // namespace drnas::kernels
