// SPDX-License-Identifier: MIT
#include "kernels/layers/winograd.h"

#include <algorithm>

#include "kernels/layers/winograd_tiles.h"

namespace drnas::kernels {
namespace {

/// The matrix products of one plan: per point [tiles, depth] x [depth, columns], or their weight
/// gradient. Packed weights are [columns/column_block, points, depth, column_block].
struct Products {
  int depth, columns, column_block, points, block_tiles;
  // Floats from point to point of the transformed input and of one column block's output.
  std::int64_t left_stride, right_stride;

  Products(const Conv2d& s, ConvPass pass, int tile, int block)
      : depth(pass == ConvPass::backward_data ? s.c_out : s.c_in),
        columns(pass == ConvPass::backward_data ? s.c_in : s.c_out),
        column_block(gemm_columns(columns)),
        points((tile + 2) * (tile + 2)),
        block_tiles(block),
        left_stride(winograd_stride(std::int64_t{block} * depth)),
        right_stride(winograd_stride(std::int64_t{block} * column_block)) {}

  std::int64_t panel() const { return std::int64_t{depth} * column_block; }
  std::int64_t packed_floats() const { return std::int64_t{points} * depth * columns; }
  std::int64_t zeros() const { return std::max(depth, columns); }
  std::int64_t scratch_floats() const { return points * (left_stride + right_stride) + zeros(); }
};

struct Scratch {
  float *zeros, *left, *right;

  Scratch(const Products& p, void* memory)
      : zeros(static_cast<float*>(memory)),
        left(zeros + p.zeros()),
        right(left + p.points * p.left_stride) {
    std::fill_n(zeros, p.zeros(), 0.0f);
  }
};

/// forward and backward_data.
template <int Tile>
void convolve(const Products& p, const Conv2d& s, int tiles, const float* x, const float* packed,
              float* y, const Scratch& scratch, bool accumulate) {
  const WinogradGrid<Tile> grid(s.h, s.w);
  const ImageView<const float> input{x, p.depth, p.depth};
  for (int first = 0; first < tiles; first += p.block_tiles) {
    const int count = std::min(p.block_tiles, tiles - first);
    winograd_input(grid, input, first, count, scratch.zeros, scratch.left, p.left_stride);
    const float* weights = packed;
    for (int column = 0; column < p.columns; column += p.column_block) {
      for (int point = 0; point < p.points; ++point, weights += p.panel())
        gemm_block<false>(
            {count, p.depth, scratch.left + point * p.left_stride, p.depth, weights, p.column_block,
             scratch.right + point * p.right_stride, p.column_block, false},
            p.column_block);
      const ImageView<float> output{y + column, p.columns, p.column_block};
      if (accumulate)
        winograd_output<Tile, true>(grid, scratch.right, p.right_stride, first, count, output);
      else
        winograd_output<Tile, false>(grid, scratch.right, p.right_stride, first, count, output);
    }
  }
}

template <int Tile>
void sum_weight_gradient(const Products& p, const Conv2d& s, int tiles, const float* x,
                         const float* dy, float* packed, const Scratch& scratch, bool accumulate) {
  const WinogradGrid<Tile> grid(s.h, s.w);
  const ImageView<const float> input{x, p.depth, p.depth};
  for (int first = 0; first < tiles; first += p.block_tiles) {
    const int count = std::min(p.block_tiles, tiles - first);
    winograd_input(grid, input, first, count, scratch.zeros, scratch.left, p.left_stride);
    float* gradient = packed;
    for (int column = 0; column < p.columns; column += p.column_block) {
      const ImageView<const float> output{dy + column, p.columns, p.column_block};
      winograd_output_adjoint(grid, output, first, count, scratch.zeros, scratch.right,
                              p.right_stride);
      for (int point = 0; point < p.points; ++point, gradient += p.panel())
        gemm_block<true>({p.depth, count, scratch.left + point * p.left_stride, p.depth,
                          scratch.right + point * p.right_stride, p.column_block, gradient,
                          p.column_block, accumulate || first > 0},
                         p.column_block);
    }
  }
}

/// Where the taps of a filter lie in [rows, 3, 3, row_columns] seen from the packed side.
struct FilterOrder {
  std::int64_t depth, column, tap, first_tap;  // strides, and the place of tap 0
  int depths, columns;                         // that exist
};

FilterOrder filter_order(ConvPass pass, int rows, int row_columns) {
  const std::int64_t row = std::int64_t{9} * row_columns;
  if (pass == ConvPass::backward_data)  // transposed and turned by 180 degrees
    return {row, 1, -row_columns, row - row_columns, rows, row_columns};
  return {1, row, row_columns, 0, row_columns, rows};
}

/// Calls body(offset of tap 0 of lane 0 in the plain weights, lanes that exist, offset of point 0
/// in the packed ones) for every vector of eight filters.
template <class Body>
void each_filter_vector(const Products& p, const FilterOrder& order, const Body& body) {
  constexpr int V = gemm_lanes;
#pragma omp parallel for schedule(static)
  for (int vector = 0; vector < p.columns / V; ++vector) {
    const int column = vector * V, block = column / p.column_block;
    const int lanes = std::clamp(order.columns - column, 0, V);
    for (int d = 0; d < p.depth; ++d)
      body(order.first_tap + d * order.depth + column * order.column, d < order.depths ? lanes : 0,
           (std::int64_t{block} * p.points * p.depth + d) * p.column_block +
               column % p.column_block);
  }
}

template <int Tile>
void pack_filters(const Products& p, const FilterOrder& order, const float* weights,
                  float* packed) {
  constexpr int V = gemm_lanes, points = WinogradTransform<Tile>::points;
  each_filter_vector(p, order, [&](std::int64_t from, int lanes, std::int64_t to) {
    float taps[3][3][V] = {};
    for (int lane = 0; lane < lanes; ++lane)
      for (int tap = 0; tap < 9; ++tap)
        taps[tap / 3][tap % 3][lane] = weights[from + lane * order.column + tap * order.tap];
    Lanes<V> g[3][3], u[points][points];
    for (int tap = 0; tap < 9; ++tap) g[tap / 3][tap % 3] = load<V>(taps[tap / 3][tap % 3]);
    transform_twice<3, points>(
        g, u, [](const auto& a, auto& b) { WinogradTransform<Tile>::filter(a, b); });
    for (int point = 0; point < p.points; ++point)
      store<V>(packed + to + point * p.panel(), u[point / points][point % points]);
  });
}

template <int Tile>
void unpack_filters(const Products& p, const FilterOrder& order, const float* packed,
                    float* weights) {
  constexpr int V = gemm_lanes, points = WinogradTransform<Tile>::points;
  each_filter_vector(p, order, [&](std::int64_t to, int lanes, std::int64_t from) {
    Lanes<V> u[points][points], g[3][3];
    for (int point = 0; point < p.points; ++point)
      u[point / points][point % points] = load<V>(packed + from + point * p.panel());
    transform_twice<points, 3>(
        u, g, [](const auto& a, auto& b) { WinogradTransform<Tile>::filter_adjoint(a, b); });
    for (int lane = 0; lane < lanes; ++lane)
      for (int tap = 0; tap < 9; ++tap)
        weights[to + lane * order.column + tap * order.tap] = g[tap / 3][tap % 3][lane];
  });
}

int tiles_of(const Conv2d& s, int tile) {
  return s.n * ((s.h + tile - 1) / tile) * ((s.w + tile - 1) / tile);
}

}  // namespace

bool WinogradPlan::supports(const Conv2d& s, ConvPass) {
  return s.kernel == 3 && s.stride == 1 && s.padding == 1 && s.c_in % channel_multiple == 0 &&
         s.c_out % channel_multiple == 0;
}

WinogradPlan::WinogradPlan(const Conv2d& shape, ConvPass pass, int tile)
    : shape_(shape), pass_(pass), tile_(tile) {
  if (tile == 0) tile_ = tiles_of(shape, 4) * 36 < tiles_of(shape, 2) * 16 ? 4 : 2;
  tiles_ = tiles_of(shape, tile_);
  constexpr int cache_floats = 40 * 1024, fewest = 16,
                most = 32;  // 160 KiB: stays in L2 beside the images and weights
  const Products one(shape, pass, tile_, 1);
  const int fitting =
      std::clamp(cache_floats / (one.points * (one.depth + one.column_block)), fewest, most);
  const int blocks = (tiles_ + fitting - 1) / fitting;
  block_tiles_ = static_cast<int>(round_up((tiles_ + blocks - 1) / blocks, 8));
}

std::size_t WinogradPlan::packed_bytes() const {
  return sizeof(float) *
         static_cast<std::size_t>(Products(shape_, pass_, tile_, block_tiles_).packed_floats());
}

std::size_t WinogradPlan::scratch_bytes() const {
  return sizeof(float) *
         static_cast<std::size_t>(Products(shape_, pass_, tile_, block_tiles_).scratch_floats());
}

void WinogradPlan::pack(const float* weights, int rows, int columns, float* packed) const {
  const Products p(shape_, pass_, tile_, block_tiles_);
  const FilterOrder order = filter_order(pass_, rows, columns);
  tile_ == 4 ? pack_filters<4>(p, order, weights, packed)
             : pack_filters<2>(p, order, weights, packed);
}

void WinogradPlan::unpack(const float* packed, float* weights, int rows, int columns) const {
  const Products p(shape_, pass_, tile_, block_tiles_);
  const FilterOrder order = filter_order(pass_, rows, columns);
  tile_ == 4 ? unpack_filters<4>(p, order, packed, weights)
             : unpack_filters<2>(p, order, packed, weights);
}

void WinogradPlan::run(const float* x, const float* packed, const float* y, void* scratch,
                       bool accumulate) const {
  const Products p(shape_, pass_, tile_, block_tiles_);
  const Scratch pieces(p, scratch);
  if (pass_ == ConvPass::backward_weight) {
    float* gradient = const_cast<float*>(packed);
    const auto pass = tile_ == 4 ? sum_weight_gradient<4> : sum_weight_gradient<2>;
    return pass(p, shape_, tiles_, x, y, gradient, pieces, accumulate);
  }
  const bool forward = pass_ == ConvPass::forward;
  const auto pass = tile_ == 4 ? convolve<4> : convolve<2>;
  pass(p, shape_, tiles_, forward ? x : y, packed, const_cast<float*>(forward ? y : x), pieces,
       accumulate);
}

}  // namespace drnas::kernels
