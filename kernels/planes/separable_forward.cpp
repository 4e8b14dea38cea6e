// SPDX-License-Identifier: MIT
#include <cmath>
#include <vector>

#include "kernels/core/carver.h"
#include "kernels/planes/separable_product.h"

namespace drnas::kernels {
namespace {

/// Scratch of one call: packed weights and moments of the images shared, planes per thread.
struct ForwardScratch {
  PaddedPlane plane;
  std::int64_t pixels, stride;  // of local outputs
  std::vector<float*> packed;
  std::vector<float*> moments;  // [n, 2, c_out] each: mean, M2 of each image
  std::vector<float*> u, d;
  double* merged;  // [2, c_out]
  std::size_t bytes;

  ForwardScratch(const Separable& s, void* memory) {
    Carver carve(memory);
    dispatch_pixels(s.out_w(), [&]<int V>() { plane = PaddedPlane::make<V>(s.h, s.w, s.stride); });
    pixels = std::int64_t{s.out_h()} * s.out_w();
    stride = local_stride(pixels);
    for (int f = 0; f < s.filters; ++f) {
      packed.push_back(carve.take<float>(std::int64_t{s.c_out} * s.c));
      moments.push_back(carve.take<float>(std::int64_t{s.n} * 2 * s.c_out));
    }
    merged = carve.take<double>(2 * s.c_out);
    for (int t = 0; t < thread_count(); ++t) {
      u.push_back(carve.take<float>(s.c * plane.floats()));
      // After the last plane: rows and lanes whose results nobody reads.
      d.push_back(carve.take<float>(s.c * stride + 4 * s.out_w() + 32));
    }
    bytes = carve.bytes();
  }
};

/// Mean and sum of squared deviations of a plane.
template <int V>
void plane_moments_of(const float* z, std::int64_t pixels, float* mean, float* m2) {
  const auto sum_of = [&](const auto& value) {
    Lanes<V> sum[4] = {};
    std::int64_t i = 0;
    for (; i + 4 * V <= pixels; i += 4 * V)
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) sum[k] += value(load<V>(z + i + k * V));
    for (; i + V <= pixels; i += V) sum[0] += value(load<V>(z + i));
    float rest = 0;
    for (; i < pixels; ++i) rest += value(z[i]);
    return sum_lanes<V>((sum[0] + sum[1]) + (sum[2] + sum[3])) + rest;
  };
  const float centre = sum_of([](auto v) { return v; }) / static_cast<float>(pixels);
  *mean = centre;
  *m2 = sum_of([&](auto v) {
    const auto deviation = v - centre;
    return deviation * deviation;
  });
}

/// One image through the filters of a group.
template <int V>
void run_image(const SeparableForward& p, const ForwardScratch& scratch,
               const SeparableGroup& group, int image, float* u, float* d) {
  const Separable& s = p.shape;
  const SeparableInput& in = p.filter[group.first].in;
  const PaddedPlane& plane = scratch.plane;
  const float* x = in.x.data + image * in.x.stride;
  const std::int64_t plane_stride = group.size() > 1 ? plane.floats() : 0;
  const auto fill = [&](int ch) {
    fill_plane<V>(plane, in, ch, x + std::int64_t{ch} * s.h * s.w, u + ch * plane_stride);
  };
  if (plane_stride)
    for (int ch = 0; ch < s.c; ++ch) fill(ch);
  for (int f = group.first; f < group.last; ++f) {
    const SeparableFilter& filter = p.filter[f];
    const DepthwisePass pass = depthwise_pass<V>(filter.kernel, filter.dilation, s.stride);
    Depthwise depthwise{u, plane.pitch, {},        filter.depthwise, 1,
                        d, s.out_w(),   s.out_h(), s.out_w(),        false};
    place_taps(plane, filter.kernel, filter.dilation, separable_pad(filter), depthwise.tap);
    for (int ch = 0; ch < s.c; ++ch) {
      if (!plane_stride) fill(ch);
      pass(depthwise);
      depthwise.x += plane_stride;
      depthwise.weight += filter.kernel * filter.kernel;
      depthwise.out += scratch.stride;
    }
    const PlaneProduct product{s.c_out,           s.c,
                               scratch.packed[f], d,
                               scratch.stride,    p.z[f].data + image * p.z[f].stride,
                               scratch.pixels,    scratch.pixels};
    float* moments = scratch.moments[f] + std::int64_t{image} * 2 * s.c_out;
    for (int row = 0; row < s.c_out; row += product_rows) {
      const int count = std::min(product_rows, s.c_out - row);
      product_rows_of<V>(product, row, count);
      for (int o = row; o < row + count && p.mode.training; ++o)
        plane_moments_of<V>(product.out + o * scratch.pixels, scratch.pixels, moments + o,
                            moments + s.c_out + o);
    }
  }
}

/// Statistics of the batch from those of the images, which count the same number of pixels: the
/// mean of the means, and M2 = sum of M2 + pixels (mean - mean of the means)^2 (Chan et al. 1983).
void finish_statistics(const SeparableForward& p, const ForwardScratch& scratch, int filter) {
  const Separable& s = p.shape;
  const PlaneStatistics& out = p.statistics[filter];
  const float* moments = scratch.moments[filter];
  double* __restrict mean = scratch.merged;
  double* __restrict m2 = scratch.merged + s.c_out;
  const double pixels = static_cast<double>(scratch.pixels), total = pixels * s.n;
  std::fill_n(mean, 2 * s.c_out, 0.0);
  for (int i = 0; i < s.n; ++i)
    for (int o = 0; o < s.c_out; ++o) mean[o] += moments[std::int64_t{i} * 2 * s.c_out + o];
  for (int o = 0; o < s.c_out; ++o) mean[o] /= s.n;
  for (int i = 0; i < s.n; ++i) {
    const float* image = moments + std::int64_t{i} * 2 * s.c_out;
    for (int o = 0; o < s.c_out; ++o) {
      const double delta = image[o] - mean[o];
      m2[o] += image[s.c_out + o] + pixels * delta * delta;
    }
  }
  for (int o = 0; o < s.c_out; ++o) {
    out.mean[o] = static_cast<float>(mean[o]);
    out.inv_std[o] = static_cast<float>(1.0 / std::sqrt(m2[o] / total + p.mode.eps));
    if (!out.running_mean) continue;
    const double keep = 1.0 - p.mode.momentum, unbiased = m2[o] / std::max(1.0, total - 1);
    out.running_mean[o] =
        static_cast<float>(keep * out.running_mean[o] + p.mode.momentum * mean[o]);
    out.running_var[o] = static_cast<float>(keep * out.running_var[o] + p.mode.momentum * unbiased);
  }
}

void use_running_statistics(const SeparableForward& p, int filter) {
  const PlaneStatistics& out = p.statistics[filter];
  for (int o = 0; o < p.shape.c_out; ++o) {
    out.mean[o] = out.running_mean[o];
    out.inv_std[o] =
        static_cast<float>(1.0 / std::sqrt(static_cast<double>(out.running_var[o]) + p.mode.eps));
  }
}

}  // namespace

template <>
std::size_t separable_forward_workspace<Device::cpu>(const Separable& p) {
  return ForwardScratch(p, nullptr).bytes;
}

template <>
void separable_forward<Device::cpu>(const SeparableForward& p, void* workspace, Stream) {
  const Separable& s = p.shape;
  check_separable(s, p.filter);
  const ForwardScratch scratch(s, workspace);
  const SeparableGroups groups(s, p.filter);
  for (int f = 0; f < s.filters; ++f)
    pack_product(p.filter[f].pointwise, s.c_out, s.c, s.c, 1, scratch.packed[f]);
  dispatch_pixels(s.out_w(), [&]<int V>() {
    parallel_ranges(std::int64_t{s.n} * groups.count,
                    [&](int thread, std::int64_t begin, std::int64_t end) {
                      float* u = scratch.u[thread];
                      if (begin < end) std::fill_n(u, s.c * scratch.plane.floats(), 0.0f);
                      for (std::int64_t unit = begin; unit < end; ++unit)
                        run_image<V>(p, scratch, groups.group[unit % groups.count],
                                     static_cast<int>(unit / groups.count), u, scratch.d[thread]);
                    });
  });
  for (int f = 0; f < s.filters; ++f)
    if (p.mode.training)
      finish_statistics(p, scratch, f);
    else
      use_running_statistics(p, f);
}

}  // namespace drnas::kernels
