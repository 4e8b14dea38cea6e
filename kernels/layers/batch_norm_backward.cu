// SPDX-License-Identifier: MIT
#include "kernels/layers/batch_norm_device.h"

namespace drnas::kernels {
namespace {

/// dgamma, dbeta and the coefficients of dx = scale dy' + slope x + constant.
__device__ inline void finish_gradients(const BatchNorm& p, const Split& split,
                                        const MergePlace& place, const Scratch& scratch,
                                        const StatisticsAffine<false>& affine, float* dgamma,
                                        float* dbeta) {
  const double sum =
      place.sum(p, split, scratch.partial, [](int, float of_dy, float) { return of_dy; });
  const double product =
      place.sum(p, split, scratch.partial, [](int, float, float of_both) { return of_both; });
  if (place.row != 0) return;
  const int c = place.channel;
  const float inv_std = affine.spread[c], mean = affine.mean[c],
              scale = (p.gamma ? p.gamma[c] : 1.0f) * inv_std;
  const double pixels = p.count(), hat = product * inv_std, slope = -scale * hat * inv_std / pixels;
  if (dgamma) dgamma[c] = static_cast<float>(hat);
  if (dbeta) dbeta[c] = static_cast<float>(sum);
  scratch.scale[c] = scale;
  scratch.shift[c] = fmaf(-scale, mean, p.beta ? p.beta[c] : 0.0f);
  scratch.slope[c] = static_cast<float>(slope);
  scratch.constant[c] = static_cast<float>(-scale * sum / pixels - slope * mean);
}

/// Sums of dy' and dy' (x - mean).
template <class T, int V>
__global__ void __launch_bounds__(reduce_threads, 2)
    gradient_sums_kernel(BatchNorm p, Split split, const T* x, const T* dy,
                         StatisticsAffine<false> affine, Scratch scratch, float* dgamma,
                         float* dbeta) {
  constexpr int few = V == 4 ? batch / 2 : batch;  // of two tensors: spares registers
  const TilePlace place(split.tiles);
  const PixelRange range(p, split, place);
  const float floor = p.relu ? 0.0f : -INFINITY;
  float sums[2][V] = {};
  if (place.active) {
    float scale[V], shift[V], centre[V];
    affine.load(place.group * V, scale, shift, centre);
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
    finish_gradients(p, split, MergePlace(p, split, V), scratch, affine, dgamma, dbeta);
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

template <class T>
void backward(const BatchNorm& p, const T* x, const T* dy, const float* mean, const float* inv_std,
              T* dx, bool accumulate, float* dgamma, float* dbeta, void* workspace, Stream stream) {
  const auto run = [&]<int V>() {
    const Split split(p, V);
    const Scratch scratch(p, workspace);
    launch_reduction("batch_norm_backward", gradient_sums_kernel<T, V>, split, V, stream, p, split,
                     x, dy, StatisticsAffine<false>(p, mean, inv_std, V), scratch, dgamma, dbeta);
    launch_apply("batch_norm_backward", input_gradient_kernel<T, V>, p, apply_tiles(p, V), stream,
                 scratch, x, dy, dx, accumulate);
  };
  dispatch_vectors(p.channels, run, x, dy, dx);
}

}  // namespace

template <>
void batch_norm_backward<Device::cuda>(const BatchNorm& p, const float* x, const float* dy,
                                       const float* mean, const float* inv_std, float* dx,
                                       bool accumulate, float* dgamma, float* dbeta,
                                       void* workspace, Stream stream) {
  backward(p, x, dy, mean, inv_std, dx, accumulate, dgamma, dbeta, workspace, stream);
}
template <>
void batch_norm_backward<Device::cuda>(const BatchNorm& p, const bfloat16* x, const bfloat16* dy,
                                       const float* mean, const float* inv_std, bfloat16* dx,
                                       bool accumulate, float* dgamma, float* dbeta,
                                       void* workspace, Stream stream) {
  backward(p, x, dy, mean, inv_std, dx, accumulate, dgamma, dbeta, workspace, stream);
}

}  // namespace drnas::kernels
