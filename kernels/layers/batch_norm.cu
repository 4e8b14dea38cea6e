// SPDX-License-Identifier: MIT
#include "kernels/layers/batch_norm_device.h"

namespace drnas::kernels {
namespace {

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

/// y = scale x + shift, rectified where wished, and `added` on top; a NaN stays.
template <class T, int V, class Affine>
__global__ void __launch_bounds__(apply_threads)
    apply_kernel(BatchNorm p, ChannelTiles tiles, Affine affine, const T* x, const T* added, T* y) {
  const TilePlace place(tiles);
  if (!place.active) return;
  float scale[V], shift[V], values[batch][V], more[batch][V] = {};
  affine.load(place.group * V, scale, shift);
  const float floor = p.relu ? 0.0f : -INFINITY;
  const std::int64_t first = std::int64_t{blockIdx.x} * tiles.rows * batch + place.row;
  const std::int64_t at = first * p.channels + place.group * V;
  const std::int64_t stride = std::int64_t{tiles.rows} * p.channels;
  for (int k = 0; k < batch; ++k) {
    if (first + k * tiles.rows >= p.pixels) break;
    load_vector(x + at + k * stride, values[k]);
    if (added) load_vector(added + at + k * stride, more[k]);
  }
  for (int k = 0; k < batch; ++k) {
    if (first + k * tiles.rows >= p.pixels) return;
    for (int v = 0; v < V; ++v) {
      const float value = fmaf(scale[v], values[k][v], shift[v]);
      values[k][v] = (value < floor ? floor : value) + more[k][v];
    }
    store_vector(y + at + k * stride, values[k]);
  }
}

template <class T>
void forward(const BatchNorm& p, const T* x, T* y, float* mean, float* inv_std, void* workspace,
             Stream stream) {
  const auto run = [&]<int V>() {
    const Split split(p, V);
    const Scratch scratch(p, workspace);
    launch_reduction("batch_norm_forward", statistics_kernel<T, V>, split, V, stream, p, split, x,
                     scratch, mean, inv_std);
    const StoredAffine affine{scratch.scale, scratch.shift};
    launch_apply("batch_norm_forward", apply_kernel<T, V, StoredAffine>, p, apply_tiles(p, V),
                 stream, affine, x, static_cast<const T*>(nullptr), y);
  };
  dispatch_vectors(p.channels, run, x, y);
}

/// One thread a channel.
__global__ void running_kernel(BatchNorm p, float* mean, float* inv_std) {
  const int c = static_cast<int>(global_thread());
  if (c >= p.channels) return;
  mean[c] = p.running_mean[c];
  inv_std[c] = static_cast<float>(1.0 / sqrt(static_cast<double>(p.running_var[c]) + p.eps));
}

template <class T>
void inference(const BatchNorm& p, const T* x, const T* added, T* y, Stream stream) {
  using Affine = StatisticsAffine<true>;
  const auto run = [&]<int V>() {
    launch_apply("batch_norm_inference", apply_kernel<T, V, Affine>, p, apply_tiles(p, V), stream,
                 Affine(p, p.running_mean, p.running_var, V), x, added, y);
  };
  dispatch_vectors(p.channels, run, x, added, y);
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
  forward(p, x, y, mean, inv_std, workspace, stream);
}
template <>
void batch_norm_forward<Device::cuda>(const BatchNorm& p, const bfloat16* x, bfloat16* y,
                                      float* mean, float* inv_std, void* workspace, Stream stream) {
  forward(p, x, y, mean, inv_std, workspace, stream);
}

template <>
void running_statistics<Device::cuda>(const BatchNorm& p, float* mean, float* inv_std,
                                      Stream stream) {
  launch("running_statistics", running_kernel,
         {blocks_for(p.channels, apply_threads), apply_threads}, stream, p, mean, inv_std);
}

template <>
void batch_norm_inference<Device::cuda>(const BatchNorm& p, const float* x, const float* added,
                                        float* y, void*, Stream stream) {
  inference(p, x, added, y, stream);
}
template <>
void batch_norm_inference<Device::cuda>(const BatchNorm& p, const bfloat16* x,
                                        const bfloat16* added, bfloat16* y, void*, Stream stream) {
  inference(p, x, added, y, stream);
}

}  // namespace drnas::kernels
