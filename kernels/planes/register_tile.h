// SPDX-License-Identifier: MIT
// Matrix products tile by tile: a register tile of `tile_rows` x `tile_columns` sums over the whole
// depth and goes where a TileStore says.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/core/simd.h"

namespace drnas::kernels {

#ifdef __AVX512F__
inline constexpr int tile_lanes = 16;
#else
inline constexpr int tile_lanes = 8;
#endif
inline constexpr int tile_rows = 6, tile_columns = 2 * tile_lanes;
inline constexpr int cache_line_floats = 16;

using TileVector = Lanes<tile_lanes>;

/// Left operand in a panel, [depth, tile_rows].
struct LeftPanel {
  const float* data;
  float at(std::int64_t k, int row) const { return data[k * tile_rows + row]; }
};

/// Left operand as its rows lie in memory, `stride` apart; a tile of fewer rows repeats the last.
struct LeftRows {
  const float* row[tile_rows];
  LeftRows(const float* first, std::int64_t stride, int rows) {
    for (int r = 0; r < tile_rows; ++r) row[r] = first + std::min(r, rows - 1) * stride;
  }
  float at(std::int64_t k, int r) const { return row[r][k]; }
};

/// Where element (row, column) of a product goes: to + row * stride + column. Elements whose `mask`
/// (laid out alike) is not positive count as zero.
struct TileStore {
  float* to;
  std::int64_t stride;
  bool accumulate = false;
  const float* mask = nullptr;

  TileStore from(int row, int column) const {
    const std::int64_t moved = row * stride + column;
    return {to + moved, stride, accumulate, mask ? mask + moved : nullptr};
  }
  void vector(int row, int column, TileVector value) const {
    const std::int64_t at = row * stride + column;
    if (mask) value = load<tile_lanes>(mask + at) > 0.0f ? value : TileVector{};
    store<tile_lanes>(to + at, accumulate ? load<tile_lanes>(to + at) + value : value);
  }
  void single(int row, int column, float value) const {
    const std::int64_t at = row * stride + column;
    if (mask && !(mask[at] > 0.0f)) value = 0.0f;
    to[at] = accumulate ? to[at] + value : value;
  }
  /// Asks for the memory of a tile ahead of its sums.
  void prefetch(int rows) const {
    for (int r = 0; r < rows; ++r)
      for (int c = 0; c < tile_columns; c += cache_line_floats) {
        __builtin_prefetch(to + r * stride + c, 1);
        if (mask) __builtin_prefetch(mask + r * stride + c);
      }
  }
};

/// Rows of memory that will be wanted soon, asked for a few lines at a time between tiles.
class Upcoming {
 public:
  Upcoming() = default;
  /// `requests`: how many calls of request() will share the lines.
  Upcoming(const float* first, std::int64_t stride, int rows, int floats, int requests)
      : row_(first), stride_(stride), rows_(rows), floats_(floats) {
    const int lines = rows * ((floats + cache_line_floats - 1) / cache_line_floats);
    share_ = (lines + requests - 1) / requests;
  }
  void request() {
    for (int i = 0; i < share_ && rows_ > 0; ++i) {
      __builtin_prefetch(row_ + column_, 0, 2);
      column_ += cache_line_floats;
      if (column_ < floats_) continue;
      column_ = 0, --rows_, row_ += stride_;
    }
  }

 private:
  const float* row_ = nullptr;
  std::int64_t stride_ = 0;
  int rows_ = 0, floats_ = 0, column_ = 0, share_ = 0;
};

/// Stops the compiler from reading v again from memory at every use: the loads would outnumber the
/// multiply-adds.
inline TileVector held_in_register(TileVector v) {
#ifdef __AVX512F__
  asm("" : "+v"(v));
#elif defined(__AVX__)
  asm("" : "+x"(v));
#endif
  return v;
}

/// The tile's sums over `depth`; right [depth, tile_columns], of which the first Vectors vectors
/// are used. emit(row, vector, sum) takes them.
template <int Vectors, class Left, class Emit>
inline void sum_tile(int depth, const Left& left, const float* right, const Emit& emit) {
  TileVector sum[tile_rows][Vectors] = {};
  for (std::int64_t k = 0; k < depth; ++k, right += tile_columns) {
    TileVector b[Vectors];
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v)
      b[v] = held_in_register(load<tile_lanes>(right + v * tile_lanes));
#pragma GCC unroll 6
    for (int r = 0; r < tile_rows; ++r) {
      const float a = left.at(k, r);
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) sum[r][v] += a * b[v];
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < tile_rows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) emit(r, v, sum[r][v]);
}

/// One tile of a product, of which rows x columns exist.
template <class Left>
inline void multiply_tile(int depth, const Left& left, const float* right, int rows, int columns,
                          const TileStore& out) {
  if (rows == tile_rows && columns == tile_columns) {
    sum_tile<2>(depth, left, right,
                [&](int r, int v, TileVector sum) { out.vector(r, v * tile_lanes, sum); });
    return;
  }
  float tile[tile_rows][tile_columns];
  const auto keep = [&](int r, int v, TileVector sum) {
    store<tile_lanes>(tile[r] + v * tile_lanes, sum);
  };
  if (columns <= tile_lanes)
    sum_tile<1>(depth, left, right, keep);
  else
    sum_tile<2>(depth, left, right, keep);
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < columns; ++c) out.single(r, c, tile[r][c]);
}

inline int tile_count(int rows, int columns) {
  return (rows + tile_rows - 1) / tile_rows * ((columns + tile_columns - 1) / tile_columns);
}

/// A whole product: left as panels [rows / tile_rows, depth, tile_rows], right as panels [columns /
/// tile_columns, depth, tile_columns], the last ones filled up. Takes one request a tile.
inline void multiply_panels(int depth, const float* left, int rows, const float* right, int columns,
                            const TileStore& out, Upcoming& upcoming) {
  for (int row = 0; row < rows; row += tile_rows)
    for (int column = 0; column < columns; column += tile_columns) {
      upcoming.request();
      if (column + tile_columns < columns)
        out.from(row, column + tile_columns).prefetch(std::min(tile_rows, rows - row));
      else if (row + tile_rows < rows)
        out.from(row + tile_rows, 0).prefetch(std::min(tile_rows, rows - row - tile_rows));
      multiply_tile(depth, LeftPanel{left + std::int64_t{row} * depth},
                    right + std::int64_t{column} * depth, std::min(tile_rows, rows - row),
                    std::min(tile_columns, columns - column), out.from(row, column));
    }
}

}  // namespace drnas::kernels
