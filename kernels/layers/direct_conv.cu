// SPDX-License-Identifier: MIT
#include "kernels/layers/direct_conv.h"

#include "kernels/core/cuda_tiles.h"

namespace drnas::kernels {
namespace {

constexpr int in_channels = 3, side = 3, taps = side * side * in_channels;

// A block works on tiles of output pixels; a thread on strips of them along a row.
constexpr int tile_rows = 8, tile_columns = 32, strip = 4;
constexpr int strips_a_row = tile_columns / strip, strips = tile_rows * strips_a_row;

/// The pixels that a tile reads, in shared memory: rows start at multiples of 16 bytes, and so does
/// what a strip reads of a row.
template <int S>
struct Window {
  static constexpr int rows = (tile_rows - 1) * S + side;
  static constexpr int pitch = (((tile_columns - 1) * S + side) * in_channels + 3) / 4 * 4;
  static constexpr int floats = rows * pitch;
  static constexpr int strip_vectors = (((strip - 1) * S + side) * in_channels + 3) / 4;
};

/// Tiles of all images.
struct Tiles {
  int out_h, out_w;
  int down, across;  ///< of an image
  std::int64_t count;

  explicit Tiles(const Conv2d& p)
      : out_h(p.out_h()),
        out_w(p.out_w()),
        down((out_h + tile_rows - 1) / tile_rows),
        across((out_w + tile_columns - 1) / tile_columns),
        count(std::int64_t{p.n} * down * across) {}
};

struct TileOrigin {
  std::int64_t image;
  int row, column;

  __device__ TileOrigin(const Tiles& tiles, std::int64_t tile)
      : image(tile / (tiles.down * tiles.across)) {
    const int rest = static_cast<int>(tile - image * (tiles.down * tiles.across));
    row = rest / tiles.across * tile_rows;
    column = rest % tiles.across * tile_columns;
  }
};

/// Every thread of the block; pixels outside the image are zero.
template <int S>
__device__ inline void load_window(const Conv2d& p, const TileOrigin& at, const float* x,
                                   float* window) {
  const int lane = static_cast<int>(threadIdx.x % warp_lanes);
  const int first = at.column * S - p.padding, width = p.w * in_channels;
  const float* image = x + at.image * p.h * width;
  for (int row = static_cast<int>(threadIdx.x / warp_lanes); row < Window<S>::rows;
       row += static_cast<int>(blockDim.x / warp_lanes)) {
    const int i = at.row * S - p.padding + row;
    const float* from = image + static_cast<std::int64_t>(i) * width;
    for (int k = lane; k < Window<S>::pitch; k += static_cast<int>(warp_lanes)) {
      const int j = first * in_channels + k;
      const bool inside = i >= 0 && i < p.h && j >= 0 && j < width;
      window[row * Window<S>::pitch + k] = inside ? from[j] : 0.0f;
    }
  }
}

/// What a strip reads of the window under row `a` of the weights.
template <int S>
__device__ inline void load_strip(const float* window, int row, int column, int a,
                                  float (&to)[Window<S>::strip_vectors * 4]) {
  const float* from = window + (row * S + a) * Window<S>::pitch + column * S * in_channels;
  for (int k = 0; k < Window<S>::strip_vectors; ++k) {
    float four[4];
    load_vector(from + 4 * k, four);
    for (int v = 0; v < 4; ++v) to[4 * k + v] = four[v];
  }
}

constexpr int forward_threads = 256, forward_channels = 128;

/// Of weights in shared memory, [taps][pitch]: storing them column by column then meets few banks
/// twice.
constexpr int weight_pitch = forward_channels + 4;

/// Puts the weights of this block's channels into shared memory.
__device__ inline void load_weights(const float* w, int channels, float* to) {
  for (int k = static_cast<int>(threadIdx.x); k < channels * taps; k += forward_threads)
    to[k % taps * weight_pitch + k / taps] = w[k];
}

template <int S, int V>
__global__ void __launch_bounds__(forward_threads)
    forward_kernel(Conv2d p, Tiles tiles, const float* x, const float* w, float* y) {
  float* window = static_cast<float*>(shared_memory());
  float* weights = window + Window<S>::floats;
  const TileOrigin at(tiles, blockIdx.x);
  const int first = static_cast<int>(blockIdx.y) * forward_channels;
  const int left = p.c_out - first, channels = left < forward_channels ? left : forward_channels;
  const int groups = channels / V;
  load_window<S>(p, at, x, window);
  load_weights(w + first * taps, channels, weights);
  __syncthreads();
  for (int item = static_cast<int>(threadIdx.x); item < strips * groups; item += forward_threads) {
    const int group = item % groups, which = item / groups;
    const int row = which / strips_a_row, column = which % strips_a_row * strip;
    float sums[strip][V] = {};
    for (int a = 0; a < side; ++a) {
      float in[Window<S>::strip_vectors * 4];
      load_strip<S>(window, row, column, a, in);
      for (int b = 0; b < side * in_channels; ++b) {
        float weight[V];
        load_vector(weights + (a * side * in_channels + b) * weight_pitch + group * V, weight);
        for (int q = 0; q < strip; ++q)
          for (int v = 0; v < V; ++v) sums[q][v] += in[q * S * in_channels + b] * weight[v];
      }
    }
    const int i = at.row + row, j = at.column + column;
    float* out = y + ((at.image * tiles.out_h + i) * tiles.out_w + j) * p.c_out + first + group * V;
    for (int q = 0; q < strip; ++q)
      if (i < tiles.out_h && j + q < tiles.out_w) store_vector(out + q * p.c_out, sums[q]);
  }
}

constexpr int gradient_threads = 128, gradient_lanes = 64;
constexpr std::int64_t most_slots = 256;
constexpr std::size_t most_workspace = std::size_t{8} << 20;

/// Adds what one tile gives to the sums [taps][V] of this thread's channels.
template <int S, int V>
__device__ inline void add_tile(const Conv2d& p, const Tiles& tiles, const ChannelTiles& channels,
                                const TilePlace& place, const TileOrigin& at, const float* window,
                                const float* dy, float (&sums)[taps][V]) {
  for (int which = place.row; which < strips; which += channels.rows) {
    const int row = which / strips_a_row, column = which % strips_a_row * strip;
    const int i = at.row + row, j = at.column + column;
    if (i >= tiles.out_h || j >= tiles.out_w) continue;
    const float* from =
        dy + ((at.image * tiles.out_h + i) * tiles.out_w + j) * p.c_out + place.group * V;
    float d[strip][V] = {};
    for (int q = 0; q < strip; ++q)
      if (j + q < tiles.out_w) load_vector(from + q * p.c_out, d[q]);
    for (int a = 0; a < side; ++a) {
      float in[Window<S>::strip_vectors * 4];
      load_strip<S>(window, row, column, a, in);
      for (int b = 0; b < side * in_channels; ++b)
        for (int q = 0; q < strip; ++q)
          for (int v = 0; v < V; ++v)
            sums[a * side * in_channels + b][v] += in[q * S * in_channels + b] * d[q][v];
    }
  }
}

/// slots [blocks][taps][c_out]
template <int S, int V>
__global__ void __launch_bounds__(gradient_threads)
    gradient_kernel(Conv2d p, Tiles tiles, ChannelTiles channels, const float* x, const float* dy,
                    float* slots) {
  float* window = static_cast<float*>(shared_memory());
  const TilePlace place(channels);
  float sums[taps][V] = {};
  for (std::int64_t tile = blockIdx.x; tile < tiles.count; tile += gridDim.x) {
    const TileOrigin at(tiles, tile);
    __syncthreads();
    load_window<S>(p, at, x, window);
    __syncthreads();
    if (place.active) add_tile<S>(p, tiles, channels, place, at, window, dy, sums);
  }
  __syncthreads();
  reduce_rows(channels, place, sums, 0.0f, AddRows{});
  if (!place.active || place.row != 0) return;
  float* slot = slots + static_cast<std::int64_t>(blockIdx.x) * taps * p.c_out + place.group * V;
  for (int k = 0; k < taps; ++k) store_vector(slot + k * p.c_out, sums[k]);
}

constexpr int finish_columns = 32, finish_rows = 8;

/// dw [c_out][taps] from slots [count][taps][c_out].
__global__ void __launch_bounds__(finish_columns* finish_rows)
    finish_kernel(int c_out, int count, const float* slots, float* dw) {
  float* rows = static_cast<float*>(shared_memory());
  const int column = static_cast<int>(threadIdx.x) % finish_columns,
            row = static_cast<int>(threadIdx.x) / finish_columns;
  const int value = static_cast<int>(blockIdx.x) * finish_columns + column, values = taps * c_out;
  float sum = 0.0f;
  if (value < values)
    for (int slot = row; slot < count; slot += finish_rows)
      sum += slots[static_cast<std::int64_t>(slot) * values + value];
  rows[threadIdx.x] = sum;
  __syncthreads();
  if (row != 0 || value >= values) return;
  for (int other = 1; other < finish_rows; ++other) sum += rows[other * finish_columns + column];
  dw[value % c_out * taps + value / c_out] = sum;
}

std::int64_t slots_of(const Conv2d& p) {
  const auto fitting =
      static_cast<std::int64_t>(most_workspace / sizeof(float)) / (std::int64_t{taps} * p.c_out);
  return std::min({Tiles(p).count, most_slots, std::max<std::int64_t>(fitting, 1)});
}

template <int S, int V>
void start_forward(const Conv2d& p, const float* x, const float* w, float* y, Stream stream) {
  const Tiles tiles(p);
  const std::size_t shared = sizeof(float) * (Window<S>::floats + taps * weight_pitch);
  launch("direct_conv_forward", forward_kernel<S, V>,
         {tiles.count, forward_threads, shared,
          static_cast<unsigned>(blocks_for(p.c_out, forward_channels))},
         stream, p, tiles, x, w, y);
}

template <int S, int V>
void start_gradient(const Conv2d& p, const float* x, const float* dy, float* slots, Stream stream) {
  const ChannelTiles channels(p.c_out / V, gradient_lanes, gradient_threads);
  const std::size_t shared =
      std::max(sizeof(float) * Window<S>::floats, reduce_rows_bytes(taps * V, gradient_threads));
  launch("direct_conv_backward_weight", gradient_kernel<S, V>,
         {slots_of(p), gradient_threads, shared, static_cast<unsigned>(channels.tiles)}, stream, p,
         Tiles(p), channels, x, dy, slots);
}

}  // namespace

bool direct_conv_takes(const Conv2d& p, ConvPass pass) {
  return pass != ConvPass::backward_data && p.c_in == in_channels && p.kernel == side &&
         (p.stride == 1 || p.stride == 2);
}

std::size_t direct_conv_workspace(const Conv2d& p, ConvPass pass) {
  if (pass == ConvPass::forward) return 0;
  return sizeof(float) * static_cast<std::size_t>(slots_of(p) * p.weight_count());
}

void direct_conv_forward(const Conv2d& p, const float* x, const float* w, float* y, Stream stream) {
  const auto start = [&]<int V>() {
    p.stride == 1 ? start_forward<1, V>(p, x, w, y, stream)
                  : start_forward<2, V>(p, x, w, y, stream);
  };
  dispatch_vectors(p.c_out, start, y);
}

void direct_conv_backward_weight(const Conv2d& p, const float* x, const float* dy, float* dw,
                                 void* workspace, Stream stream) {
  auto* slots = static_cast<float*>(workspace);
  const auto start = [&]<int V>() {
    p.stride == 1 ? start_gradient<1, V>(p, x, dy, slots, stream)
                  : start_gradient<2, V>(p, x, dy, slots, stream);
  };
  // Pairs: four channels a thread would be 108 sums.
  p.c_out % 2 == 0 && aligned_for(2, dy) ? start.template operator()<2>()
                                         : start.template operator()<1>();
  launch("direct_conv_finish", finish_kernel,
         {blocks_for(p.weight_count(), finish_columns), finish_columns * finish_rows,
          sizeof(float) * finish_columns * finish_rows},
         stream, p.c_out, static_cast<int>(slots_of(p)), slots, dw);
}

}  // namespace drnas::kernels
