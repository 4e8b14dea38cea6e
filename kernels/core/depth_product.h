// SPDX-License-Identifier: MIT
// Products of matrices by a warp where both operands lie depth by depth, for .cu files: sums of
// outer products, 16 rows times 8 columns, over depth. A plane holds chunks of 16 bytes, neighbours
// in rows or columns, one for each depth; 16 rows are two planes of bfloat16, four of float32.
// Lanes hold sums in the order of mma.h in all three kinds of numbers.
#pragma once

#include "kernels/core/warp_product.h"

namespace drnas::kernels {

/// Depth that a step multiplies, and how many places of it each lane looks up.
template <class Numbers>
struct DepthStep {
  static constexpr bool narrow = sizeof(typename Numbers::Stored) == 2;
  static constexpr int depth = !Numbers::tensor ? 4 : narrow ? 16 : 8;
  static constexpr int lookups = !Numbers::tensor ? 4 : narrow ? 1 : 2;

  /// Which depth of the step a lane looks up in the left operand, and which in the right one.
  __device__ static int left(int lane, int i) {
    if (!Numbers::tensor) return i;
    return narrow ? lane / 16 * 8 + lane % 8 : lane % 4 + 4 * i;
  }
  __device__ static int right(int lane, int i) {
    if (!Numbers::tensor) return i;
    return narrow ? lane % 16 : lane % 4 + 4 * i;
  }
};

/// Planes of an operand. A chunk that is looked up at a negative place is `zeros`.
template <class Numbers>
struct DepthPlanes {
  using C = Chunk<typename Numbers::Stored>;
  const C* planes;
  int pitch;  ///< chunks from plane to plane
  const C* zeros;

  __device__ const C* at(int plane, int place, int shift = 0) const {
    return place < 0 ? zeros : planes + plane * pitch + place + shift;
  }
};

/// What a lane holds of 16 rows and a step of depth.
template <class Numbers>
struct LeftRows {
  using Step = DepthStep<Numbers>;
  unsigned packed[4];
  float value[4][2];  ///< by multiply-adds: of each depth rows lane / 4 and lane / 4 + 8

  __device__ void load(const DepthPlanes<Numbers>& from, const int (&places)[Step::lookups]) {
    const int lane = static_cast<int>(threadIdx.x) % 32, row = lane / 4;
    if constexpr (Step::narrow) {
      load_matrices<4, true>(packed, from.at(lane / 8 % 2, places[0]));
    } else {
      for (int i = 0; i < Step::lookups; ++i)
        for (int half = 0; half < 2; ++half) {
          const float element = from.at(2 * half + row / 4, places[i])->element[row % 4];
          if constexpr (Numbers::tensor)
            memcpy(&packed[2 * i + half], &element, sizeof element);
          else
            value[i][half] = element;
        }
    }
  }
};

/// A product: sums += rows times the columns whose chunks lie `shift` after their places.
template <class Numbers>
struct DepthTerm {
  float (&sums)[4];
  const LeftRows<Numbers>& rows;
  int shift;
};
template <class Numbers>
__device__ inline void multiply_depth(const DepthPlanes<Numbers>& columns,
                                      const int (&places)[DepthStep<Numbers>::lookups],
                                      const DepthTerm<Numbers>& one) {
  using Step = DepthStep<Numbers>;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if constexpr (Step::narrow) {
    unsigned right[2];
    load_matrices<2, true>(right, columns.at(0, places[0], one.shift));
    Numbers::multiply_add(one.sums, one.rows.packed, right);
  } else if constexpr (Numbers::tensor) {
    const int column = lane / 4;
    unsigned right[2];
    for (int i = 0; i < 2; ++i)
      memcpy(&right[i], &columns.at(column / 4, places[i], one.shift)->element[column % 4],
             sizeof right[i]);
    Numbers::multiply_add(one.sums, one.rows.packed, right);
  } else {
    using Pair = Vector<float, 2>;
    const int column = lane % 4 * 2;
    for (int i = 0; i < Step::lookups; ++i) {
      const auto* chunk = columns.at(column / 4, places[i], one.shift);
      const Pair pair = load_packed(reinterpret_cast<const Pair*>(chunk->element + column % 4));
      for (int half = 0; half < 2; ++half)
        for (int v = 0; v < 2; ++v)
          one.sums[2 * half + v] =
              fmaf(one.rows.value[i][half], pair.element[v], one.sums[2 * half + v]);
    }
  }
}
/// Both of a pair, whose chunks are loaded together.
template <class Numbers>
__device__ inline void multiply_depth(const DepthPlanes<Numbers>& columns,
                                      const int (&places)[DepthStep<Numbers>::lookups],
                                      const DepthTerm<Numbers>& one,
                                      const DepthTerm<Numbers>& other) {
  using Step = DepthStep<Numbers>;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if constexpr (Step::narrow) {
    unsigned both[4];
    load_matrices<4, true>(both, columns.at(0, places[0], lane < 16 ? one.shift : other.shift));
    Numbers::multiply_add(one.sums, one.rows.packed, {both[0], both[1]});
    Numbers::multiply_add(other.sums, other.rows.packed, {both[2], both[3]});
  } else {
    multiply_depth(columns, places, one);
    multiply_depth(columns, places, other);
  }
}

}  // namespace drnas::kernels
