// SPDX-License-Identifier: MIT
// How the separable convolutions on CUDA add up what the blocks of a filter left. For .cu files.
#pragma once

#include "kernels/core/arrival.h"
#include "kernels/planes/separable_device.h"

namespace drnas::kernels {

/// Eight columns (channels) at a time, each shared by sixteen threads of a block that add every
/// sixteenth row.
inline constexpr int finish_columns = 8,
                     finish_rows = static_cast<int>(separable_threads) / finish_columns;

/// Blocks of a filter that have arrived.
using FilterCounters = ArrivalCounters<Separable::max_filters>;

/// The shared memory of a block that adds up.
struct FinishShared {
  double* sums;  ///< [2, 2, warps, columns]
  unsigned* last;

  static constexpr int doubles = 4 * separable_warps * finish_columns;
  static constexpr std::size_t bytes = sizeof(double) * doubles + sizeof(unsigned);

  __device__ FinishShared()
      : sums(static_cast<double*>(shared_memory())),
        last(reinterpret_cast<unsigned*>(sums + doubles)) {}
};

/// Adds each of two values over the threads that share a column, in a fixed order; threads of the
/// first warp get the sums. Every thread of the block must call it; calls take turns with two parts
/// of the memory, so that the first warp may still read the one of the call before.
class ColumnSums {
 public:
  __device__ explicit ColumnSums(double* shared) : shared_(shared) {}

  __device__ void add(double (&values)[2]) {
    constexpr int part = separable_warps * finish_columns;
    double* own = shared_ + turn_ * 2 * part;
    turn_ = 1 - turn_;
    const int column = lane_index() % finish_columns;
    for (int k = 0; k < 2; ++k) {
      for (int other = finish_columns; other < static_cast<int>(warp_lanes); other *= 2)
        values[k] += __shfl_xor_sync(full_warp, values[k], other);
      if (lane_index() < finish_columns)
        own[k * part + warp_index() * finish_columns + column] = values[k];
    }
    __syncthreads();
    if (warp_index() > 0) return;
    for (int k = 0; k < 2; ++k)
      for (int w = 1; w < separable_warps; ++w)
        values[k] += own[k * part + w * finish_columns + column];
  }

 private:
  double* shared_;
  int turn_ = 0;
};

/// For each of `columns` columns: add(column, row, sums) for the rows row, row + 16, ..., then, in
/// one thread, finish(column, sums). By one block.
template <class Add, class Finish>
__device__ inline void finish_each_column(int columns, double* shared, const Add& add,
                                          const Finish& finish) {
  ColumnSums block(shared);
  const int row = static_cast<int>(threadIdx.x) / finish_columns;
  for (int first = 0; first < columns; first += finish_columns) {
    const int column = first + lane_index() % finish_columns;
    double sums[2] = {};
    if (column < columns) add(column, row, sums);
    block.add(sums);
    if (row == 0 && column < columns) finish(column, sums);
  }
}

}  // namespace drnas::kernels
