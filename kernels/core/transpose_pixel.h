// SPDX-License-Identifier: MIT
// The channel shuffle of partial channels as a transpose of each pixel's channels: a [parts, c]
// matrix becomes [c, parts], or back.
#pragma once

#include <cstdint>

#include "kernels/core/simd.h"

namespace drnas::kernels {

/// to [4, 4] (rows `to_stride` floats apart) = transpose of from.
inline void transpose_4x4(const float* from, int from_stride, float* to, int to_stride) {
  const Lanes<4> a = load<4>(from), b = load<4>(from + from_stride),
                 c = load<4>(from + 2 * from_stride), d = load<4>(from + 3 * from_stride);
  const Lanes<4> ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5),
                 ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7),
                 cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5),
                 cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  store<4>(to, __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5));
  store<4>(to + to_stride, __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7));
  store<4>(to + 2 * to_stride, __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5));
  store<4>(to + 3 * to_stride, __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7));
}

/// Transposes a matrix [rows, columns] of floats into [columns, rows]; neither may overlap the
/// other. Quick where one side is 2, or both are multiples of 4.
class PixelTranspose {
 public:
  PixelTranspose(int rows, int columns) : rows_(rows), columns_(columns) {
    kind_ = rows % 4 == 0 && columns % 4 == 0 ? Kind::blocks
            : rows == 2 && columns % 4 == 0   ? Kind::interleave
            : columns == 2 && rows % 4 == 0   ? Kind::separate
                                              : Kind::single;
  }

  void operator()(const float* __restrict from, float* __restrict to) const {
    switch (kind_) {
      case Kind::blocks:
        return blocks(from, to);
      case Kind::interleave:
        return interleave(from, to);
      case Kind::separate:
        return separate(from, to);
      case Kind::single:
        break;
    }
    for (int i = 0; i < rows_; ++i)
      for (int j = 0; j < columns_; ++j) to[j * rows_ + i] = from[i * columns_ + j];
  }

 private:
  enum class Kind { blocks, interleave, separate, single };

  void blocks(const float* __restrict from, float* __restrict to) const {
    for (int i = 0; i < rows_; i += 4)
      for (int j = 0; j < columns_; j += 4)
        transpose_4x4(from + i * columns_ + j, columns_, to + j * rows_ + i, rows_);
  }
  void interleave(const float* __restrict from, float* __restrict to) const {
    for (int j = 0; j < columns_; j += 4) {
      const Lanes<4> a = load<4>(from + j), b = load<4>(from + columns_ + j);
      store<4>(to + 2 * j, __builtin_shufflevector(a, b, 0, 4, 1, 5));
      store<4>(to + 2 * j + 4, __builtin_shufflevector(a, b, 2, 6, 3, 7));
    }
  }
  void separate(const float* __restrict from, float* __restrict to) const {
    for (int i = 0; i < rows_; i += 4) {
      const Lanes<4> a = load<4>(from + 2 * i), b = load<4>(from + 2 * i + 4);
      store<4>(to + i, __builtin_shufflevector(a, b, 0, 2, 4, 6));
      store<4>(to + rows_ + i, __builtin_shufflevector(a, b, 1, 3, 5, 7));
    }
  }

  int rows_, columns_;
  Kind kind_;
};

/// out[i] = sum over `count` arrays of array[i], for `length` floats; V lanes at a time.
template <int V>
void add_arrays(const float* const* arrays, int count, std::int64_t length, float* out) {
  for (std::int64_t i = 0; i < length; i += V) {
    Lanes<V> sum = load<V>(arrays[0] + i);
    for (int k = 1; k < count; ++k) sum += load<V>(arrays[k] + i);
    store<V>(out + i, sum);
  }
}

/// The same with a weight for each array.
inline void add_weighted_arrays(const float* const* arrays, const float* weights, int count,
                                std::int64_t length, float* out) {
  for (std::int64_t i = 0; i < length; ++i) {
    float sum = 0.0f;
    for (int k = 0; k < count; ++k) sum += weights[k] * arrays[k][i];
    out[i] = sum;
  }
}

}  // namespace drnas::kernels
