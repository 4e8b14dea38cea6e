// SPDX-License-Identifier: MIT
// Two launches a direction: a reduction over pixels whose last block merges the blocks' results in
// order, then a pointwise pass. Both cover [pixels, channels] by ChannelTiles.
#include "kernels/batch_norm.h"

#include <cmath>

#include "kernels/cuda_tiles.h"

namespace drnas::kernels {
namespace {

constexpr int reduce_threads = 512, apply_threads = 256;
constexpr int most_lanes = 64;      // vectors of channels in a tile
constexpr int batch = 4;            // pixels whose loads a thread starts together
constexpr int enough_blocks = 132;  // more would only lengthen the merge of blocks
constexpr int most_per_thread = 256;

/// The reduction's blocks: block b of a tile takes pixels_per_block pixels from b *
/// pixels_per_block on.
struct Split {
  ChannelTiles tiles;
  std::int64_t pixels_per_block, blocks;

  Split(const BatchNorm& p, int width) : tiles(p.channels / width, most_lanes, reduce_threads) {
    const std::int64_t step = std::int64_t{tiles.rows} * batch;
    const std::int64_t wanted = std::max(1, enough_blocks / tiles.tiles);
    pixels_per_block = std::min(blocks_for(blocks_for(p.pixels, wanted), step) * step,
                                std::int64_t{tiles.rows} * most_per_thread);
    blocks = blocks_for(p.pixels, pixels_per_block);
  }
};

/// The workspace: an arrival counter a tile; scale, shift, slope, constant [channels] each, aligned
/// for vectors; and two results of every block, [blocks][2][channels].
struct Scratch {
  unsigned* counters;
  float *scale, *shift, *slope, *constant, *partial;

  static std::int64_t padded(std::int64_t count) { return blocks_for(count, 4) * 4; }
  static std::int64_t floats(const BatchNorm& p, const Split& split) {
    return padded(split.tiles.tiles) + 4 * padded(p.channels) + split.blocks * 2 * p.channels;
  }
  Scratch(const BatchNorm& p, const Split& split, void* workspace)
      : counters(static_cast<unsigned*>(workspace)),
        scale(static_cast<float*>(workspace) + padded(split.tiles.tiles)),
        shift(scale + padded(p.channels)),
        slope(shift + padded(p.channels)),
        constant(slope + padded(p.channels)),
        partial(constant + padded(p.channels)) {}
};

/// The pixels that one thread reduces, `rows` apart, a few at a time.
struct PixelRange {
  std::int64_t first, end;
  int step;

  __device__ PixelRange(const BatchNorm& p, const Split& split, const TilePlace& place)
      : first(blockIdx.x * split.pixels_per_block + place.row),
        end((blockIdx.x + 1) * split.pixels_per_block < p.pixels
                ? (blockIdx.x + 1) * split.pixels_per_block
                : p.pixels),
        step(split.tiles.rows) {}
  /// How many of the `batch` pixels from `pixel` on there are.
  __device__ int count(std::int64_t pixel) const {
    int inside = 0;
    for (int k = 0; k < batch; ++k) inside += pixel + k * step < end;
    return inside;
  }
  /// The N pixels from `pixel` on, zeros past the end.
  template <int N, int V, class T>
  __device__ void load(const T* x, const BatchNorm& p, int group, std::int64_t pixel,
                       float (&to)[N][V]) const {
    const T* from = x + pixel * p.channels + group * V;
    const std::int64_t stride = std::int64_t{step} * p.channels;
    for (int k = 0; k < N; ++k) {
      for (int v = 0; v < V; ++v) to[k][v] = 0.0f;
      if (pixel + k * step < end) load_vector(from + k * stride, to[k]);
    }
  }
};

/// Writes a block's two results; true in the tile's last block.
template <int V>
__device__ inline bool finish_block(const BatchNorm& p, const Scratch& scratch,
                                    const TilePlace& place, const float (&values)[2][V]) {
  if (place.active && place.row == 0) {
    float* out = scratch.partial + blockIdx.x * 2 * std::int64_t{p.channels} + place.group * V;
    store_vector(out, values[0]);
    store_vector(out + p.channels, values[1]);
  }
  return last_to_arrive(scratch.counters + blockIdx.y, gridDim.x);
}

/// How the tile's last block merges blocks: a thread takes one channel and every rows-th block.
struct MergePlace {
  int width, rows, column, row, channel;

  __device__ MergePlace(const BatchNorm& p, const Split& split, int vector) {
    const int first = static_cast<int>(blockIdx.y) * split.tiles.lanes * vector;
    width = min(split.tiles.lanes * vector, p.channels - first);
    rows = static_cast<int>(blockDim.x) / width;
    column = static_cast<int>(threadIdx.x) % width;
    row = static_cast<int>(threadIdx.x) / width;
    channel = first + column;
  }
  /// Sum over blocks of term(block, first result, second result).
  template <class Term>
  __device__ double sum(const BatchNorm& p, const Split& split, const float* partial,
                        const Term& term) const {
    double total = 0.0;
    if (row < rows)
      for (int b = row; b < split.blocks; b += rows) {
        const float* of_block = partial + std::int64_t{b} * 2 * p.channels + channel;
        total += term(b, of_block[0], of_block[p.channels]);
      }
    return sum_columns(total, row, column, rows, width);
  }
  __device__ static int min(int a, int b) { return a < b ? a : b; }
};

/// Merges the blocks' moments; writes mean, inv_std, scale and shift, moves running statistics.
__device__ inline void finish_statistics(const BatchNorm& p, const Split& split,
                                         const MergePlace& place, const Scratch& scratch,
                                         float* mean_out, float* inv_std_out) {
  const double pixels = static_cast<double>(p.pixels);
  const auto in_block = [&](int b) {
    const std::int64_t rest = p.pixels - b * split.pixels_per_block;
    return static_cast<double>(rest < split.pixels_per_block ? rest : split.pixels_per_block);
  };
  const double mean = place.sum(p, split, scratch.partial, [&](int b, float m, float) {
    return in_block(b) * m;
  }) / pixels;
  const double m2 = place.sum(p, split, scratch.partial, [&](int b, float m, float squares) {
    return squares + in_block(b) * (m - mean) * (m - mean);
  });
  if (place.row != 0) return;
  const int c = place.channel;
  const float inv_std = static_cast<float>(1.0 / sqrt(m2 / pixels + p.eps));
  mean_out[c] = static_cast<float>(mean);
  inv_std_out[c] = inv_std;
  scratch.scale[c] = (p.gamma ? p.gamma[c] : 1.0f) * inv_std;
  scratch.shift[c] = fmaf(-scratch.scale[c], static_cast<float>(mean), p.beta ? p.beta[c] : 0.0f);
  if (!p.running_mean) return;
  const double keep = 1.0 - p.momentum, unbiased = m2 / (pixels > 2 ? pixels - 1 : 1.0);
  p.running_mean[c] = static_cast<float>(keep * p.running_mean[c] + p.momentum * mean);
  p.running_var[c] = static_cast<float>(keep * p.running_var[c] + p.momentum * unbiased);
}

template <class T, int V>
__global__ void __launch_bounds__(reduce_threads, 2)
    statistics_kernel(BatchNorm p, Split split, const T* x, Scratch scratch, float* mean,
                      float* inv_std) {
  const TilePlace place(split.tiles);
  const PixelRange range(p, split, place);
  float moments[2][V] = {}, count = 0.0f;
  if (place.active)
    for (std::int64_t i = range.first; i < range.end; i += batch * range.step) {
      float values[batch][V], added[2][V];
      range.load(x, p, place.group, i, values);
      const int more = range.count(i);
      batch_moments(values, more, added);
      MergeMoments()(moments, added, count, static_cast<float>(more));
      count += static_cast<float>(more);
    }
  reduce_rows(split.tiles, place, moments, count, MergeMoments());
  if (finish_block(p, scratch, place, moments))
    finish_statistics(p, split, MergePlace(p, split, V), scratch, mean, inv_std);
}

/// Scale and shift of the vector of channels from `channel` on, as the reduction left them.
struct StoredAffine {
  const float *scale, *shift;

  template <int V>
  __device__ void load(int channel, float (&a)[V], float (&b)[V]) const {
    load_vector(scale + channel, a);
    load_vector(shift + channel, b);
  }
};

/// Scale and shift from statistics: mean and inv_std, or with `variance` mean and variance.
template <bool variance>
struct StatisticsAffine {
  BatchNorm p;
  const float *mean, *spread;

  template <int V>
  __device__ void load(int channel, float (&a)[V], float (&b)[V]) const {
    for (int v = 0; v < V; ++v) {
      const int c = channel + v;
      const float inv_std = variance ? 1.0f / sqrtf(spread[c] + p.eps) : spread[c];
      a[v] = (p.gamma ? p.gamma[c] : 1.0f) * inv_std;
      b[v] = fmaf(-a[v], mean[c], p.beta ? p.beta[c] : 0.0f);
    }
  }
};

/// y = scale x + shift, rectified where wished; a NaN stays.
template <class T, int V, class Affine>
__global__ void __launch_bounds__(apply_threads)
    apply_kernel(BatchNorm p, ChannelTiles tiles, Affine affine, const T* x, T* y) {
  const TilePlace place(tiles);
  if (!place.active) return;
  float scale[V], shift[V], values[batch][V];
  affine.load(place.group * V, scale, shift);
  const float floor = p.relu ? 0.0f : -INFINITY;
  const std::int64_t first = std::int64_t{blockIdx.x} * tiles.rows * batch + place.row;
  const std::int64_t at = first * p.channels + place.group * V;
  const std::int64_t stride = std::int64_t{tiles.rows} * p.channels;
  for (int k = 0; k < batch; ++k)
    if (first + k * tiles.rows < p.pixels) load_vector(x + at + k * stride, values[k]);
  for (int k = 0; k < batch; ++k) {
    if (first + k * tiles.rows >= p.pixels) return;
    for (int v = 0; v < V; ++v) {
      const float value = fmaf(scale[v], values[k][v], shift[v]);
      values[k][v] = value < floor ? floor : value;
    }
    store_vector(y + at + k * stride, values[k]);
  }
}

/// dgamma, dbeta and the coefficients of dx = scale dy' + slope x + constant.
__device__ inline void finish_gradients(const BatchNorm& p, const Split& split,
                                        const MergePlace& place, const Scratch& scratch,
                                        const float* mean, const float* inv_std, float* dgamma,
                                        float* dbeta) {
  const double sum =
      place.sum(p, split, scratch.partial, [](int, float of_dy, float) { return of_dy; });
  const double product =
      place.sum(p, split, scratch.partial, [](int, float, float of_both) { return of_both; });
  if (place.row != 0) return;
  const int c = place.channel;
  const double pixels = static_cast<double>(p.pixels), hat = product * inv_std[c];
  float scale[1], shift[1];
  StatisticsAffine<false>{p, mean, inv_std}.load(c, scale, shift);
  const double slope = -scale[0] * hat * inv_std[c] / pixels;
  if (dgamma) dgamma[c] = static_cast<float>(hat);
  if (dbeta) dbeta[c] = static_cast<float>(sum);
  scratch.scale[c] = scale[0];
  scratch.shift[c] = shift[0];
  scratch.slope[c] = static_cast<float>(slope);
  scratch.constant[c] = static_cast<float>(-scale[0] * sum / pixels - slope * mean[c]);
}

/// Sums of dy' and dy' (x - mean).
template <class T, int V>
__global__ void __launch_bounds__(reduce_threads, 2)
    gradient_sums_kernel(BatchNorm p, Split split, const T* x, const T* dy, const float* mean,
                         const float* inv_std, Scratch scratch, float* dgamma, float* dbeta) {
  constexpr int few = V == 4 ? batch / 2 : batch;  // of two tensors: spares registers
  const TilePlace place(split.tiles);
  const PixelRange range(p, split, place);
  const float floor = p.relu ? 0.0f : -INFINITY;
  float sums[2][V] = {};
  if (place.active) {
    float scale[V], shift[V], centre[V];
    StatisticsAffine<false>{p, mean, inv_std}.load(place.group * V, scale, shift);
    for (int v = 0; v < V; ++v) centre[v] = mean[place.group * V + v];
    for (std::int64_t i = range.first; i < range.end; i += few * range.step) {
      float values[few][V], gradients[few][V];  // gradients are zero past the end
      range.load(x, p, place.group, i, values);
      range.load(dy, p, place.group, i, gradients);
      for (int k = 0; k < few; ++k)
        for (int v = 0; v < V; ++v) {
          const float g = fmaf(scale[v], values[k][v], shift[v]) > floor ? gradients[k][v] : 0.0f;
          sums[0][v] += g;
          sums[1][v] = fmaf(g, values[k][v] - centre[v], sums[1][v]);
        }
    }
  }
  reduce_rows(split.tiles, place, sums, 0.0f, AddRows());
  if (finish_block(p, scratch, place, sums))
    finish_gradients(p, split, MergePlace(p, split, V), scratch, mean, inv_std, dgamma, dbeta);
}

/// dx (+)= scale dy' + slope x + constant.
template <class T, int V>
__global__ void __launch_bounds__(apply_threads)
    input_gradient_kernel(BatchNorm p, ChannelTiles tiles, Scratch scratch, const T* x, const T* dy,
                          T* dx, bool accumulate) {
  const TilePlace place(tiles);
  if (!place.active) return;
  float scale[V], shift[V], slope[V], constant[V];
  const int channel = place.group * V;
  StoredAffine{scratch.scale, scratch.shift}.load(channel, scale, shift);
  StoredAffine{scratch.slope, scratch.constant}.load(channel, slope, constant);
  const float floor = p.relu ? 0.0f : -INFINITY;
  const std::int64_t first = std::int64_t{blockIdx.x} * tiles.rows * batch + place.row;
  const std::int64_t at = first * p.channels + channel;
  const std::int64_t stride = std::int64_t{tiles.rows} * p.channels;
  float values[batch][V], gradients[batch][V], before[batch][V] = {};
  for (int k = 0; k < batch; ++k) {
    if (first + k * tiles.rows >= p.pixels) break;
    load_vector(x + at + k * stride, values[k]);
    load_vector(dy + at + k * stride, gradients[k]);
    if (accumulate) load_vector(dx + at + k * stride, before[k]);
  }
  for (int k = 0; k < batch; ++k) {
    if (first + k * tiles.rows >= p.pixels) break;
    for (int v = 0; v < V; ++v) {
      const float in = values[k][v];
      const float g = fmaf(scale[v], in, shift[v]) > floor ? gradients[k][v] : 0.0f;
      before[k][v] += fmaf(scale[v], g, fmaf(slope[v], in, constant[v]));
    }
    store_vector(dx + at + k * stride, before[k]);
  }
}

/// Starts a reduction with its counters at zero.
template <class Kernel, class... Args>
void launch_reduction(const char* name, Kernel kernel, const Split& split, int width,
                      const Scratch& scratch, Stream stream, const Args&... args) {
  require_cuda(cudaMemsetAsync(scratch.counters, 0, split.tiles.tiles * sizeof(unsigned),
                               static_cast<cudaStream_t>(stream)),
               name);
  const LaunchShape shape{split.blocks, reduce_threads,
                          reduce_rows_bytes(2 * width, reduce_threads),
                          static_cast<unsigned>(split.tiles.tiles)};
  launch(name, kernel, shape, stream, args...);
}

/// Starts a pointwise pass.
template <class Kernel, class... Args>
void launch_apply(const char* name, Kernel kernel, const BatchNorm& p, const ChannelTiles& tiles,
                  Stream stream, const Args&... args) {
  const LaunchShape shape{blocks_for(p.pixels, std::int64_t{tiles.rows} * batch), apply_threads, 0,
                          static_cast<unsigned>(tiles.tiles)};
  launch(name, kernel, shape, stream, p, tiles, args...);
}

ChannelTiles apply_tiles(const BatchNorm& p, int width) {
  return {p.channels / width, most_lanes, apply_threads};
}

}  // namespace

template <>
std::size_t batch_norm_workspace<Device::cuda>(const BatchNorm& p) {
  std::int64_t floats = 0;  // pointers decide on the width, so there is room for each
  for (const int width : {4, 2, 1})
    if (p.channels % width == 0) floats = std::max(floats, Scratch::floats(p, Split(p, width)));
  return sizeof(float) * static_cast<std::size_t>(floats);
}

template <>
void batch_norm_forward<Device::cuda>(const BatchNorm& p, const float* x, float* y, float* mean,
                                      float* inv_std, void* workspace, Stream stream) {
  const auto run = [&]<int V>() {
    const Split split(p, V);
    const Scratch scratch(p, split, workspace);
    launch_reduction("batch_norm_forward", statistics_kernel<float, V>, split, V, scratch, stream,
                     p, split, x, scratch, mean, inv_std);
    const StoredAffine affine{scratch.scale, scratch.shift};
    launch_apply("batch_norm_forward", apply_kernel<float, V, StoredAffine>, p, apply_tiles(p, V),
                 stream, affine, x, y);
  };
  dispatch_vectors(p.channels, run, x, y);
}

template <>
void batch_norm_inference<Device::cuda>(const BatchNorm& p, const float* x, float* y, void*,
                                        Stream stream) {
  using Affine = StatisticsAffine<true>;
  const auto run = [&]<int V>() {
    launch_apply("batch_norm_inference", apply_kernel<float, V, Affine>, p, apply_tiles(p, V),
                 stream, Affine{p, p.running_mean, p.running_var}, x, y);
  };
  dispatch_vectors(p.channels, run, x, y);
}

template <>
void batch_norm_backward<Device::cuda>(const BatchNorm& p, const float* x, const float* dy,
                                       const float* mean, const float* inv_std, float* dx,
                                       bool accumulate, float* dgamma, float* dbeta,
                                       void* workspace, Stream stream) {
  const auto run = [&]<int V>() {
    const Split split(p, V);
    const Scratch scratch(p, split, workspace);
    launch_reduction("batch_norm_backward", gradient_sums_kernel<float, V>, split, V, scratch,
                     stream, p, split, x, dy, mean, inv_std, scratch, dgamma, dbeta);
    launch_apply("batch_norm_backward", input_gradient_kernel<float, V>, p, apply_tiles(p, V),
                 stream, scratch, x, dy, dx, accumulate);
  };
  dispatch_vectors(p.channels, run, x, dy, dx);
}

}  // namespace drnas::kernels
