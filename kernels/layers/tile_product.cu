// SPDX-License-Identifier: MIT
// A block multiplies a tile of rows and columns, thirty-two of the depth at a time; operands are
// turned as they are loaded, so that depth lies in chunks.
#include "kernels/layers/tile_product.h"

#include <algorithm>

#include "kernels/core/tile_operands.h"
#include "kernels/layers/conv2d.h"

namespace drnas::kernels {
namespace {

constexpr int warps = 4, threads = 32 * warps;
constexpr int chunk_depth = 4, step_chunks = 8, step_depth = chunk_depth * step_chunks;

struct ProductTiling {
  int m = 1, n = 1;  ///< of a warp: rows in sixteens, columns in eights
  int row_tiles, column_tiles;

  explicit ProductTiling(const BatchedProduct& p) {
    if (p.rows > rows()) m = 2;
    // The widest of those that leave at most one eight more unused.
    for (const int wider : {2, 4})
      if (blocks_for(p.columns, 8 * wider) * wider <= blocks_for(p.columns, 8 * n) * n + 1)
        n = wider;
    row_tiles = static_cast<int>(blocks_for(p.rows, rows()));
    column_tiles = static_cast<int>(blocks_for(p.columns, columns()));
  }
  DRNAS_HD int rows() const { return 16 * warps * m; }
  DRNAS_HD int columns() const { return 8 * n; }
  /// Chunks from one chunk of depth to the next: neighbours lie in different banks.
  DRNAS_HD int row_pitch() const { return rows() + 1; }
  DRNAS_HD int column_pitch() const { return columns() + 1; }
  std::size_t shared_bytes() const {
    return static_cast<std::size_t>(step_chunks) *
           (16 * static_cast<std::size_t>(row_pitch() + column_pitch()) + sizeof(int));
  }
};

/// One operand as a block reads it: `lines` rows or columns from `first` on, of `count`.
struct ProductSide {
  const float* data;
  std::int64_t stride;
  bool along;    ///< depth lies side by side in memory
  bool vectors;  ///< and may be read by whole chunks
  int first, lines, count;
};

/// Fills chunks [step_chunks][pitch] of a side from `depth` on, zeros past its ends.
template <class Numbers>
__device__ void load_side(const ProductSide& side, int depth, int depths, Chunk<float>* to,
                          int pitch) {
  for (int item = static_cast<int>(threadIdx.x); item < side.lines * step_chunks; item += threads) {
    const int line = side.along ? item / step_chunks : item % side.lines,
              chunk = side.along ? item % step_chunks : item / side.lines,
              at = depth + chunk * chunk_depth;
    float v[chunk_depth] = {};
    if (side.first + line < side.count) {
      const float* from = side.data + (side.along ? (side.first + line) * side.stride + at
                                                  : at * side.stride + side.first + line);
      if (side.vectors && at < depths) {
        load_vector(from, v);
      } else {
        for (int i = 0; i < chunk_depth; ++i)
          if (at + i < depths) v[i] = from[side.along ? i : i * side.stride];
      }
    }
    Chunk<float> out;
    for (int i = 0; i < chunk_depth; ++i) out.element[i] = Numbers::operand(v[i]);
    store_packed(to + chunk * pitch + line, out);
  }
}

/// out = sums, or out += sums.
template <int M, int N>
__device__ void store_product(const BatchedProduct& p, float* out, int first_row, int first_column,
                              const float (&sums)[M][N][4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  DRNAS_UNROLL
  for (int of_lane = 0; of_lane < 4 * M * N; ++of_lane) {
    const int m = of_lane / (4 * N), n = of_lane / 4 % N, i = of_lane % 4,
              row = first_row + 16 * m + i / 2 * 8 + lane / 4,
              column = first_column + 8 * n + lane % 4 * 2 + i % 2;
    if (row >= p.rows || column >= p.columns) continue;
    float& to = out[std::int64_t{row} * p.columns + column];
    to = p.accumulate ? to + sums[m][n][i] : sums[m][n][i];
  }
}

/// Grid: tiles of columns, of rows, then matrices.
template <class Numbers, int M, int N>
__global__ void __launch_bounds__(threads, 4)
    product_kernel(BatchedProduct p, ProductTiling t, bool left_vectors, bool right_vectors) {
  const int tiles = t.row_tiles * t.column_tiles, matrix = static_cast<int>(blockIdx.x) / tiles,
            tile = static_cast<int>(blockIdx.x) % tiles, row = tile / t.column_tiles * t.rows(),
            column = tile % t.column_tiles * t.columns();
  const ProductSide left{p.left.data + matrix * p.left.batch_stride,
                         p.left.row_stride,
                         !p.left.transposed,
                         left_vectors,
                         row,
                         t.rows(),
                         p.rows},
      right{p.right.data + matrix * p.right.batch_stride,
            p.right.row_stride,
            p.right.transposed,
            right_vectors,
            column,
            t.columns(),
            p.columns};
  auto* a = static_cast<Chunk<float>*>(shared_memory());
  Chunk<float>* b = a + step_chunks * t.row_pitch();
  int* offsets = reinterpret_cast<int*>(b + step_chunks * t.column_pitch());
  if (threadIdx.x < step_chunks)
    offsets[threadIdx.x] = static_cast<int>(threadIdx.x) * t.row_pitch();
  const int lane = static_cast<int>(threadIdx.x) % 32,
            first_row = static_cast<int>(threadIdx.x) / 32 * 16 * M;
  LeftOperand<Numbers, M> operand{a, 0, {}};
  for (int m = 0; m < M; ++m)
    for (int i = 0; i < LaneRows<Numbers>::count; ++i)
      operand.start[m][i] = first_row + 16 * m + LaneRows<Numbers>::row(lane, i);
  float sums[M][N][4] = {};
  for (int depth = 0; depth < p.depth; depth += step_depth) {
    __syncthreads();
    load_side<Numbers>(left, depth, p.depth, a, t.row_pitch());
    load_side<Numbers>(right, depth, p.depth, b, t.column_pitch());
    __syncthreads();
    if (row + first_row >= p.rows) continue;
    for (int chunk = 0; chunk < step_chunks; chunk += 2)
      multiply_step(sums, operand, offsets + chunk, b + chunk * t.column_pitch(), t.column_pitch());
  }
  store_product(p, p.out + matrix * p.out_stride, row + first_row, column, sums);
}

/// May a side whose depth lies side by side be read by whole chunks?
bool reads_vectors(const BatchedOperand& side, bool along, int depth) {
  return along && depth % chunk_depth == 0 && side.row_stride % chunk_depth == 0 &&
         side.batch_stride % chunk_depth == 0 && aligned_for(chunk_depth, side.data);
}

template <class Numbers>
void run(const char* name, const BatchedProduct& p, Stream stream) {
  const ProductTiling t(p);
  const LaunchShape shape{.blocks = std::int64_t{p.batch} * t.row_tiles * t.column_tiles,
                          .threads = threads,
                          .shared_bytes = t.shared_bytes()};
  const bool left = reads_vectors(p.left, !p.left.transposed, p.depth),
             right = reads_vectors(p.right, p.right.transposed, p.depth);
  const auto start = [&]<int M, int N>() {
    launch(name, product_kernel<Numbers, M, N>, shape, stream, p, t, left, right);
  };
  const auto with_columns = [&]<int M>() {
    if (t.n == 4) return start.template operator()<M, 4>();
    if (t.n == 2) return start.template operator()<M, 2>();
    start.template operator()<M, 1>();
  };
  if (t.m == 2) return with_columns.template operator()<2>();
  with_columns.template operator()<1>();
}

}  // namespace

void tile_product(const char* name, const BatchedProduct& p, Stream stream) {
  if (!p.exact && conv_math() == ConvMath::tf32) return run<Tf32Numbers>(name, p, stream);
  run<Fp32Numbers>(name, p, stream);
}

}  // namespace drnas::kernels
