// SPDX-License-Identifier: MIT
// Row-wise pieces that the CPU twins of node_mix and conv_bundle share: 3x3 average pooling of
// stride 1 by a rolling window of rows, and the channel shuffle of partial channels.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/core/simd.h"

namespace drnas::kernels {

/// Pixels of a window [i-1, i+1] that lie inside [0, size).
inline int window_count(int i, int size) { return 1 + (i > 0) + (i + 1 < size); }

/// 1 over the number of pixels in a 3x3 window that spans `rows` rows around column j.
inline float window_share(int rows, int j, int w) {
  static constexpr float share[] = {0.0f, 1.0f,     1.0f / 2, 1.0f / 3, 1.0f / 4,
                                    0.0f, 1.0f / 6, 0.0f,     0.0f,     1.0f / 9};
  return share[rows * window_count(j, w)];
}

/// Calls body.template operator()<P>(j) over a row in blocks of P = 4 pixels and single ones at the
/// end. Sums over terms or edges keep P accumulators in registers, so that each weight and pointer
/// is fetched once for four pixels.
template <class Body>
void each_pixel_block(int w, const Body& body) {
  int j = 0;
  for (; j + 4 <= w; j += 4) body.template operator()<4>(j);
  for (; j < w; ++j) body.template operator()<1>(j);
}

/// sum[k] += weight * from[k] for P pixels `stride` floats apart.
template <int V, int P, class Weight>
inline void add_weighted(Lanes<V> (&sum)[P], Weight weight, const float* from,
                         std::int64_t stride) {
#pragma GCC unroll 4
  for (int k = 0; k < P; ++k) sum[k] += weight * load<V>(from + k * stride);
}

/// Three rows of w*c floats with a zero pixel before and after each, addressed by row number
/// modulo three: row r holds values or zeros (outside the image). `sum(r, at)` is the 3x3 box sum
/// around pixel `at` once rows r-1, r, r+1 are in.
class RollingRows {
 public:
  static std::int64_t floats(int w, int c) { return 4 * (std::int64_t{w} + 2) * c; }

  RollingRows(float* buffer, int w, int c)
      : rows_(buffer), w_(w), c_(c), pitch_((std::int64_t{w} + 2) * c) {
    std::fill_n(rows_, floats(w, c), 0.0f);
  }
  /// Where to put row r: [w, c].
  float* row(int r) { return rows_ + (r + 3) % 3 * pitch_ + c_; }
  void clear(int r) { std::fill_n(row(r), std::int64_t{w_} * c_, 0.0f); }
  /// Adds up the three rows; then box() may be read.
  void add_rows() {
    const float* __restrict a = rows_ + c_, * __restrict b = a + pitch_, * __restrict d = b + pitch_;
    float* __restrict out = rows_ + 3 * pitch_ + c_;
    const std::int64_t count = std::int64_t{w_} * c_;
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i) out[i] = a[i] + b[i] + d[i];
  }
  /// Box sum at float offset `at` = pixel*c + channel of the row in the middle.
  template <int V>
  Lanes<V> box(std::int64_t at) const {
    const float* p = rows_ + 3 * pitch_ + c_ + at;
    return load<V>(p - c_) + load<V>(p) + load<V>(p + c_);
  }

 private:
  float* rows_;
  int w_, c_;
  std::int64_t pitch_;
};

/// out [w, c] = row [w, c] (pixel stride `stride`) over the number of pixels in each window: the
/// first half of P^T.
template <int V>
void divide_by_window(const float* row, std::int64_t stride, int i, int h, int w, int c,
                      float* out) {
  for (int j = 0; j < w; ++j) {
    const float factor = window_share(window_count(i, h), j, w);
    for (int cb = 0; cb < c; cb += V)
      store<V>(out + std::int64_t{j} * c + cb, factor * load<V>(row + j * stride + cb));
  }
}

/// mixed[pixel, pos] = y[pixel, pos*K]: the mixed channels of shuffled pixels.
inline void gather_mixed(const float* __restrict y, std::int64_t pixels, int c, int parts,
                         float* __restrict mixed) {
  for (std::int64_t p = 0; p < pixels; ++p)
    for (int pos = 0; pos < c; ++pos) mixed[p * c + pos] = y[(p * c + pos) * parts];
}

}  // namespace drnas::kernels
