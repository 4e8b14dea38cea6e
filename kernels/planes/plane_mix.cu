// SPDX-License-Identifier: MIT
#include "kernels/planes/plane_mix.h"

#include "kernels/planes/plane_device.h"

namespace drnas::kernels {
namespace {

__device__ inline float weight_or_one(const double* theta, int index) {
  return index < 0 ? 1.0f : static_cast<float>(theta[index]);
}

/// How a term's channel enters: scale (z - mean).
struct alignas(8) TermScale {
  float scale, mean;
};

/// A plane in the order in which sources are read: image, then mixed channels, then bypassed ones.
struct MixPlane {
  int image, ch, part;

  __device__ MixPlane(int plane, int c, int channels) {
    image = plane / channels;
    const int channel = plane - image * channels;
    part = channel / c;
    ch = channel - part * c;
  }
};

/// sum += weight * (values at `from`).
template <int V>
__device__ inline void add_weighted(float (&sum)[V], float weight, const float* from) {
  float values[V];
  load_vector(from, values);
  for (int v = 0; v < V; ++v) sum[v] = fmaf(weight, values[v], sum[v]);
}

/// sum += weight * factor * (values at `from`), which are those of a plane from `pixel` on.
template <int V>
__device__ inline void add_dropped(float (&sum)[V], float weight, const float* from,
                                   const SkipFactors& factors, int skip, std::int64_t plane,
                                   std::int64_t pixels, int pixel) {
  float values[V], factor[V];
  load_vector(from + pixel, values);
  factors.vector(skip, plane, pixels, pixel, factor);
  for (int v = 0; v < V; ++v) sum[v] = fmaf(weight * factor[v], values[v], sum[v]);
}

/// scales [terms, group] of the block's planes.
__device__ inline void load_scales(const PlaneMix& p, const PlaneGrid& grid, int first,
                                   TermScale* scales) {
  for (int i = threadIdx.x; i < p.terms * grid.group; i += plane_threads) {
    const int t = i / grid.group, plane = first + i - t * grid.group;
    if (plane >= grid.planes) continue;
    const MixPlane at(plane, p.c, p.channels);
    if (at.part != 0) continue;
    const PlaneMixTerm& term = p.term[t];
    scales[i] = {static_cast<float>(p.theta[term.theta] * term.inv_std[at.ch]), term.mean[at.ch]};
  }
}

template <int V, bool drops>
__global__ void __launch_bounds__(plane_threads, 4)
    forward_kernel(PlaneMix p, PlaneGrid grid, Planes y) {
  TermScale* scales = static_cast<TermScale*>(shared_memory());
  const PlanePlace place(grid);
  load_scales(p, grid, place.first, scales);
  __syncthreads();
  if (!place.active) return;
  const MixPlane at(place.plane, p.c, p.channels);
  const int q = place.vector * V;
  float sum[V] = {};
  if (at.part == 0) {
    for (int t = 0; t < p.terms; ++t) {
      const TermScale by = scales[t * grid.group + place.slot];
      if (p.gates.rows > 0 && by.scale == 0.0f) continue;
      float z[V];
      load_vector(plane_of(p.term[t].z, p.pixels, at.image, at.ch) + q, z);
      for (int v = 0; v < V; ++v) sum[v] = fmaf(by.scale, z[v] - by.mean, sum[v]);
    }
    for (int s = 0; s < p.sources; ++s) {
      const PlaneMixSource& source = p.source[s];
      if (source.skip_theta < 0 || !p.gates.runs(p.theta, source.skip_theta)) continue;
      const float weight = static_cast<float>(p.theta[source.skip_theta]);
      const float* from = plane_of(source.x, p.pixels, at.image, at.ch);
      if constexpr (drops)
        add_dropped(sum, weight, from, SkipFactors(p.dropout), source.skip,
                    std::int64_t{at.image} * p.c + at.ch, p.pixels, q);
      else
        add_weighted(sum, weight, from + q);
    }
  } else {
    const int from = (at.part - 1) * p.c + at.ch;
    for (int s = 0; s < p.sources; ++s)
      add_weighted(sum, weight_or_one(p.theta, p.source[s].bypass_theta),
                   plane_of(p.source[s].bypass, p.pixels, at.image, from) + q);
  }
  store_vector(plane_of(y, p.pixels, at.image, at.ch * p.parts() + at.part) + q, sum);
}

/// Planes in the order of dy's. Where nothing is added to a plane it is left.
template <int V, bool drops>
__global__ void __launch_bounds__(plane_threads)
    source_gradient_kernel(PlaneSourceGradient p, PlaneGrid grid) {
  const PlanePlace place(grid);
  if (!place.active) return;
  const int parts = p.channels / p.c, image = place.plane / p.channels,
            channel = place.plane - image * p.channels, ch = channel / parts,
            part = channel - ch * parts, q = place.vector * V;
  const Planes& out = part == 0 ? p.dx : p.dbypass;
  if (!out.data) return;
  float* to = plane_of(out, p.pixels, image, part == 0 ? ch : (part - 1) * p.c + ch) + q;
  float sum[V] = {};
  bool any = !p.zeros_rest || part > 0 || !p.accumulate_x;
  for (int e = 0; e < p.edges; ++e) {
    if (part == 0 && p.skip_theta[e] < 0) continue;
    if (part == 0 && p.zeros_rest && p.theta[p.skip_theta[e]] == 0.0) continue;
    any = true;
    if (drops && part == 0) {
      add_dropped(sum, static_cast<float>(p.theta[p.skip_theta[e]]),
                  plane_of(p.dy[e], p.pixels, image, channel), SkipFactors(p.dropout), p.skip[e],
                  std::int64_t{image} * p.c + ch, p.pixels, q);
      continue;
    }
    add_weighted(sum, weight_or_one(p.theta, part == 0 ? p.skip_theta[e] : p.bypass_theta[e]),
                 plane_of(p.dy[e], p.pixels, image, channel) + q);
  }
  if (!any) return;
  if (part == 0 ? p.accumulate_x : p.accumulate_bypass) add_weighted(sum, 1.0f, to);
  store_vector(to, sum);
}

}  // namespace

static_assert(sizeof(TermScale) * PlaneMix::max_terms * most_planes <= common_shared_bytes,
              "a block's scales");

template <>
void plane_mix_forward<Device::cuda>(const PlaneMix& p, Planes y, Stream stream) {
  PlaneWidth width(p.pixels);
  width.with(y);
  for (int t = 0; t < p.terms; ++t) width.with(p.term[t].z);
  for (int s = 0; s < p.sources; ++s) {
    if (p.source[s].skip_theta >= 0) width.with(p.source[s].x);
    if (p.parts() > 1) width.with(p.source[s].bypass);
  }
  width.dispatch([&]<int V>() {
    const PlaneGrid grid(std::int64_t{p.n} * p.channels, p.pixels, V);
    launch("plane_mix_forward",
           p.dropout.active() ? forward_kernel<V, true> : forward_kernel<V, false>,
           grid.shape(sizeof(TermScale) * p.terms * grid.group), stream, p, grid, y);
  });
}

template <>
void plane_source_gradient<Device::cuda>(const PlaneSourceGradient& p, Stream stream) {
  PlaneWidth width(p.pixels);
  width.with(p.dx).with(p.dbypass);
  for (int e = 0; e < p.edges; ++e) width.with(p.dy[e]);
  width.dispatch([&]<int V>() {
    const PlaneGrid grid(std::int64_t{p.n} * p.channels, p.pixels, V);
    launch("plane_source_gradient",
           p.dropout.active() ? source_gradient_kernel<V, true> : source_gradient_kernel<V, false>,
           grid.shape(), stream, p, grid);
  });
}

}  // namespace drnas::kernels
