// SPDX-License-Identifier: MIT
#include "kernels/planes/plane_norm.h"

#include "kernels/planes/plane_moments_device.h"
#include "kernels/planes/plane_norm_device.h"

namespace drnas::kernels {
namespace {

/// Vectors of planes in memory.
template <int V>
struct LoadPlanes {
  ConstPlanes x;
  std::int64_t pixels;

  __device__ void operator()(int image, int ch, int vector, unsigned, float (&to)[1][V]) const {
    load_vector(plane_of(x, pixels, image, ch) + vector * V, to[0]);
  }
};

__global__ void __launch_bounds__(plane_threads)
    running_statistics_kernel(int c, PlaneStatistics out, NormMode mode) {
  const int ch = static_cast<int>(global_thread());
  if (ch >= c) return;
  if (gate_open(out.gate))
    take_running_statistics(out, mode, ch);
  else
    rest(out, ch);
}

template <int V>
__global__ void __launch_bounds__(plane_threads)
    apply_kernel(PlaneNormApply p, PlaneGrid grid, Planes y) {
  const PlanePlace place(grid);
  if (!place.active) return;
  const int image = place.plane / p.shape.c, ch = place.plane - image * p.shape.c,
            at = place.vector * V;
  const ChannelAffine affine(p, ch);
  const float scale = image_scale(p, image);
  float* to = plane_of(y, p.shape.pixels, image, ch) + at;
  float values[V], before[V] = {};
  load_vector(plane_of(p.x, p.shape.pixels, image, ch) + at, values);
  if (p.accumulate) load_vector(to, before);
  for (int v = 0; v < V; ++v) {
    const float value = scale * affine(values[v]) + before[v];
    values[v] = p.relu && value < 0.0f ? 0.0f : value;  // a NaN stays
  }
  store_vector(to, values);
}

template <int V>
__global__ void __launch_bounds__(plane_threads)
    plane_gradient_kernel(PlaneNorm p, PlaneGrid grid, PlaneGradient gradient, ConstPlanes z,
                          Planes dz) {
  const PlanePlace place(grid);
  if (!place.active || !gate_open(gradient.gate)) return;
  const int image = place.plane / p.c, ch = place.plane - image * p.c, at = place.vector * V;
  const GradientCoefficients by(gradient.coefficients, p.c, ch);
  float g[V], values[V] = {};
  load_vector(plane_of(gradient.g, p.pixels, image, std::int64_t{ch} * gradient.channel_step) + at,
              g);
  if (gradient.coefficients) {
    load_vector(plane_of(z, p.pixels, image, ch) + at, values);
    for (int v = 0; v < V; ++v)
      g[v] = fmaf(by.slope_g, g[v], fmaf(by.slope_z, values[v], by.constant));
  }
  store_vector(plane_of(dz, p.pixels, image, ch) + at, g);
}

}  // namespace

template <>
std::size_t plane_norm_workspace<Device::cuda>(const PlaneNorm& p) {
  return moments_workspace(p.n, p.c, p.pixels, 1);
}

template <>
void plane_moments<Device::cuda>(const PlaneNorm& p, ConstPlanes x,
                                 const PlaneStatistics& statistics, const NormMode& mode,
                                 void* workspace, Stream stream) {
  check_statistics("plane_moments", statistics, mode);
  if (!mode.training)
    return launch("plane_moments", running_statistics_kernel,
                  {blocks_for(p.c, plane_threads), plane_threads}, stream, p.c, statistics, mode);
  MomentsOut<1> out{static_cast<PlaneMoments*>(workspace), {statistics}, mode};
  if (statistics.gate) out.gates[0] = {1, {statistics.gate}};
  const PlaneWidth width = PlaneWidth(p.pixels).with(x);
  dispatch_channel(width, p.n, p.c, p.pixels, [&]<int V, int held>() {
    const ChannelPixels pixels(p.n, p.c, p.pixels, V, held);
    launch("plane_moments", moments_kernel<V, held, 1, LoadPlanes<V>>,
           pixels.shape(p.c, block_sums_bytes(2)), stream, pixels, LoadPlanes<V>{x, p.pixels}, out);
  });
}

template <>
void plane_norm_apply<Device::cuda>(const PlaneNormApply& p, Planes y, Stream stream) {
  PlaneWidth(p.shape.pixels).with(p.x).with(y).dispatch([&]<int V>() {
    const PlaneGrid grid(std::int64_t{p.shape.n} * p.shape.c, p.shape.pixels, V);
    launch("plane_norm_apply", apply_kernel<V>, grid.shape(), stream, p, grid, y);
  });
}

template <>
void plane_gradient<Device::cuda>(const PlaneNorm& p, const PlaneGradient& gradient, ConstPlanes z,
                                  Planes dz, Stream stream) {
  PlaneWidth width(p.pixels);
  width.with(gradient.g).with(dz);
  if (gradient.coefficients) width.with(z);
  width.dispatch([&]<int V>() {
    const PlaneGrid grid(std::int64_t{p.n} * p.c, p.pixels, V);
    launch("plane_gradient", plane_gradient_kernel<V>, grid.shape(), stream, p, grid, gradient, z,
           dz);
  });
}

}  // namespace drnas::kernels
