// SPDX-License-Identifier: MIT
#include "kernels/planes/plane_norm_device.h"
#include "kernels/planes/plane_statistics.h"

namespace drnas::kernels {
namespace {

/// dy where the ReLU let its input through.
__device__ inline float masked(const PlaneNormApply& p, const ChannelAffine& affine, float x,
                               float dy) {
  return !p.relu || affine(x) > 0.0f ? dy : 0.0f;
}

__device__ ChannelCounters arrived;

/// Coefficients and parameter gradients of a channel from its rows, by one warp.
__device__ inline void finish_channel(const PlaneNormBackward& b, int ch, const double* rows,
                                      int row_count) {
  const PlaneNormApply& p = b.apply;
  const ChannelAffine affine(p, ch);
  const double sum = sum_of_rows(rows, row_count),
               centred = sum_of_rows(rows + row_count, row_count);
  if (threadIdx.x % warp_lanes != 0) return;
  finish_gradient(p.gamma ? p.gamma[ch] : 1.0f, affine.mean, affine.inv_std, sum, centred,
                  b.count(), b.coefficients, p.shape.c, ch);
  if (b.dgamma) b.dgamma[ch] = static_cast<float>(centred * affine.inv_std);
  if (b.dbeta) b.dbeta[ch] = static_cast<float>(sum);
}

/// rows [c, 2, row count]: sums of dy' and dy' (x - mean); the channel's last block adds them up.
template <int V, int held>
__global__ void __launch_bounds__(plane_threads)
    reduce_kernel(PlaneNormBackward b, ChannelPixels pixels, double* rows) {
  const PlaneNormApply& p = b.apply;
  const int ch = blockIdx.y, row = blockIdx.x;
  const ChannelAffine affine(p, ch);
  double totals[2] = {};
  for (int tile = row; tile < pixels.tiles; tile += pixels.rows) {
    float x[held][V] = {}, dy[held][V] = {}, scale[held] = {}, sums[2] = {};
    pixels.each<held>(tile, [&](int k, int image, int vector) {
      load_vector(plane_of(p.x, p.shape.pixels, image, ch) + vector * V, x[k]);
      load_vector(plane_of(b.dy, p.shape.pixels, image, ch) + vector * V, dy[k]);
      scale[k] = image_scale(p, image);
    });
    pixels.each<held>(tile, [&](int k, int, int) {
      for (int v = 0; v < V; ++v) {
        const float g = scale[k] * masked(p, affine, x[k][v], dy[k][v]);
        sums[0] += g;
        sums[1] = fmaf(g, x[k][v] - affine.mean, sums[1]);
      }
    });
    double added[2];
    block_sums(sums, added);
    totals[0] += added[0];
    totals[1] += added[1];
  }
  rows += std::int64_t{ch} * 2 * pixels.rows;
  if (threadIdx.x == 0) {
    rows[row] = totals[0];
    rows[pixels.rows + row] = totals[1];
  }
  if (!arrives_last(arrived.counter + ch, pixels.rows, static_cast<unsigned*>(shared_memory())))
    return;
  if (threadIdx.x < warp_lanes) finish_channel(b, ch, rows, pixels.rows);
}

/// dx (+)= A dy' + B x + C.
template <int V>
__global__ void __launch_bounds__(plane_threads)
    input_gradient_kernel(PlaneNormBackward b, PlaneGrid grid) {
  const PlanePlace place(grid);
  if (!place.active) return;
  const PlaneNormApply& p = b.apply;
  const int image = place.plane / p.shape.c, ch = place.plane - image * p.shape.c,
            at = place.vector * V;
  const ChannelAffine affine(p, ch);
  const GradientCoefficients by(b.coefficients, p.shape.c, ch);
  const float slope = by.slope_g * image_scale(p, image);
  float* to = plane_of(b.dx, p.shape.pixels, image, ch) + at;
  float x[V], dy[V], out[V] = {};
  load_vector(plane_of(p.x, p.shape.pixels, image, ch) + at, x);
  load_vector(plane_of(b.dy, p.shape.pixels, image, ch) + at, dy);
  if (b.accumulate) load_vector(to, out);
  for (int v = 0; v < V; ++v)
    out[v] += fmaf(slope, masked(p, affine, x[v], dy[v]), fmaf(by.slope_z, x[v], by.constant));
  store_vector(to, out);
}

}  // namespace

template <>
std::size_t plane_norm_backward_workspace<Device::cuda>(const PlaneNorm& p) {
  return sizeof(double) * static_cast<std::size_t>(2 * p.c * rows_bound(p.n, p.pixels));
}

template <>
void plane_norm_backward<Device::cuda>(const PlaneNormBackward& b, void* workspace, Stream stream) {
  const PlaneNormApply& p = b.apply;
  const int n = p.shape.n, c = p.shape.c;
  double* rows = static_cast<double*>(workspace);
  PlaneWidth width(p.shape.pixels);
  width.with(p.x).with(b.dy);
  dispatch_channel(width, n, c, p.shape.pixels, [&]<int V, int held>() {
    const ChannelPixels pixels(n, c, p.shape.pixels, V, held);
    launch("plane_norm_backward", reduce_kernel<V, held>, pixels.shape(c, block_sums_bytes(2)),
           stream, b, pixels, rows);
  });
  if (!b.dx.data) return;
  width.with(b.dx).dispatch([&]<int V>() {
    const PlaneGrid grid(std::int64_t{n} * c, p.shape.pixels, V);
    launch("plane_norm_backward", input_gradient_kernel<V>, grid.shape(), stream, b, grid);
  });
}

}  // namespace drnas::kernels
