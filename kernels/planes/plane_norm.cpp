// SPDX-License-Identifier: MIT
#include "kernels/planes/plane_norm.h"

#include "kernels/planes/plane_loops.h"

namespace drnas::kernels {
namespace {

/// The normalisation of one channel, scale (x - mean) + shift: exactly `shift` at the mean.
struct Affine {
  float inv_std, scale, mean, shift;

  Affine(const PlaneNormApply& p, int ch)
      : inv_std(p.inv_std ? p.inv_std[ch] : 1.0f),
        scale((p.gamma ? p.gamma[ch] : 1.0f) * inv_std),
        mean(p.mean ? p.mean[ch] : 0.0f),
        shift(p.beta ? p.beta[ch] : 0.0f) {}
  template <int V>
  Lanes<V> operator()(Lanes<V> x) const {
    return scale * (x - mean) + shift;
  }
};

float image_scale(const PlaneNormApply& p, std::int64_t image) {
  return p.image_scale ? p.image_scale[image] : 1.0f;
}

template <bool relu, bool accumulate>
void apply_plane(const Affine& affine, float scale, const float* x, std::int64_t pixels, float* y) {
  each_vector(pixels, [&]<int V>(std::int64_t i) {
    Lanes<V> value = scale * affine.operator()<V>(load<V>(x + i));
    if constexpr (accumulate) value += load<V>(y + i);
    if constexpr (relu) value = value < 0.0f ? Lanes<V>{} : value;  // a NaN stays
    store<V>(y + i, value);
  });
}

/// dy where the ReLU let its input through.
template <bool relu, int V>
Lanes<V> masked(const Affine& affine, Lanes<V> x, Lanes<V> dy) {
  if constexpr (relu) return affine.operator()<V>(x) > 0.0f ? dy : Lanes<V>{};
  return dy;
}

/// Adds sum dy', sum dy' (x - mean) of one plane, without the image's scale.
template <bool relu>
void reduce_plane(const Affine& affine, const float* x, const float* dy, std::int64_t pixels,
                  double* sums) {
  each_block(pixels, [&](std::int64_t first, std::int64_t count) {
    const float *in = x + first, *d = dy + first;
    sum_block<2>(
        count,
        [&]<int V>(std::int64_t i, int k) {
          const Lanes<V> value = load<V>(in + i);
          const Lanes<V> g = masked<relu, V>(affine, value, load<V>(d + i));
          return k == 0 ? g : g * (value - affine.mean);
        },
        sums);
  });
}

template <bool relu, bool accumulate>
void write_gradient(const Affine& affine, const GradientCoefficients& by, float scale,
                    const float* x, const float* dy, std::int64_t pixels, float* dx) {
  const float slope = by.slope_g * scale;
  each_vector(pixels, [&]<int V>(std::int64_t i) {
    const Lanes<V> value = load<V>(x + i);
    const Lanes<V> g = masked<relu, V>(affine, value, load<V>(dy + i));
    Lanes<V> out = slope * g + (by.slope_z * value + by.constant);
    if constexpr (accumulate) out += load<V>(dx + i);
    store<V>(dx + i, out);
  });
}

/// Calls body.template operator()<a, b>().
template <class Body>
void dispatch(bool a, bool b, const Body& body) {
  if (a)
    return b ? body.template operator()<true, true>() : body.template operator()<true, false>();
  b ? body.template operator()<false, true>() : body.template operator()<false, false>();
}

/// Coefficients and parameter gradients from complete sums [2, c].
void finish(const PlaneNormBackward& b, const double* sums) {
  const PlaneNormApply& p = b.apply;
  const int c = p.shape.c;
  const double m = b.count();
  for (int ch = 0; ch < c; ++ch) {
    const Affine affine(p, ch);
    finish_gradient(p.gamma ? p.gamma[ch] : 1.0f, affine.mean, affine.inv_std, sums[ch],
                    sums[c + ch], m, b.coefficients, c, ch);
    if (b.dgamma) b.dgamma[ch] = static_cast<float>(sums[c + ch] * affine.inv_std);
    if (b.dbeta) b.dbeta[ch] = static_cast<float>(sums[ch]);
  }
}

}  // namespace

template <>
std::size_t plane_norm_workspace<Device::cpu>(const PlaneNorm& p) {
  return sizeof(PlaneMoments) * static_cast<std::size_t>(p.n) * static_cast<std::size_t>(p.c);
}

template <>
void plane_moments<Device::cpu>(const PlaneNorm& p, ConstPlanes x,
                                const PlaneStatistics& statistics, const NormMode& mode,
                                void* workspace, Stream) {
  check_statistics("plane_moments", statistics, mode);
  if (!mode.training) {
    for (int ch = 0; ch < p.c; ++ch) take_running_statistics(statistics, mode, ch);
    return;
  }
  PlaneMoments* moments = static_cast<PlaneMoments*>(workspace);
  each_plane(p.n, p.c, [&](std::int64_t image, int ch) {
    moments[image * p.c + ch] = plane_moments_of(plane_of(x, p.pixels, image, ch), p.pixels);
  });
  finish_plane_statistics(p.n, p.c, moments, statistics, mode);
}

template <>
void plane_norm_apply<Device::cpu>(const PlaneNormApply& p, Planes y, Stream) {
  const std::int64_t pixels = p.shape.pixels;
  dispatch(p.relu, p.accumulate, [&]<bool relu, bool accumulate>() {
    each_plane(p.shape.n, p.shape.c, [&](std::int64_t image, int ch) {
      apply_plane<relu, accumulate>(Affine(p, ch), image_scale(p, image),
                                    plane_of(p.x, pixels, image, ch), pixels,
                                    plane_of(y, pixels, image, ch));
    });
  });
}

template <>
std::size_t plane_norm_backward_workspace<Device::cpu>(const PlaneNorm& p) {
  return 2 * sizeof(double) * static_cast<std::size_t>(p.n) * static_cast<std::size_t>(p.c);
}

template <>
void plane_norm_backward<Device::cpu>(const PlaneNormBackward& b, void* workspace, Stream) {
  const PlaneNormApply& p = b.apply;
  const int n = p.shape.n, c = p.shape.c;
  const std::int64_t pixels = p.shape.pixels;
  double* memory = static_cast<double*>(workspace);
  dispatch(p.relu, b.accumulate, [&]<bool relu, bool accumulate>() {
    each_plane(n, c, [&](std::int64_t image, int ch) {
      double sums[2] = {}, *to = memory + image * 2 * c + ch;
      reduce_plane<relu>(Affine(p, ch), plane_of(p.x, pixels, image, ch),
                         plane_of(b.dy, pixels, image, ch), pixels, sums);
      to[0] = sums[0] * image_scale(p, image);
      to[c] = sums[1] * image_scale(p, image);
    });
    add_images(n, 2 * std::int64_t{c}, memory);
    finish(b, memory);
    if (!b.dx.data) return;
    each_plane(n, c, [&](std::int64_t image, int ch) {
      write_gradient<relu, accumulate>(Affine(p, ch), GradientCoefficients(b.coefficients, c, ch),
                                       image_scale(p, image), plane_of(p.x, pixels, image, ch),
                                       plane_of(b.dy, pixels, image, ch), pixels,
                                       plane_of(b.dx, pixels, image, ch));
    });
  });
}

template <>
void plane_gradient<Device::cpu>(const PlaneNorm& p, const PlaneGradient& gradient, ConstPlanes z,
                                 Planes dz, Stream) {
  each_plane(p.n, p.c, [&](std::int64_t image, int ch) {
    const GradientCoefficients by(gradient.coefficients, p.c, ch);
    WeightedPlanes sum;
    sum.start = by.constant;
    sum.add(plane_of(gradient.g, p.pixels, image, std::int64_t{ch} * gradient.channel_step),
            by.slope_g);
    if (gradient.coefficients) sum.add(plane_of(z, p.pixels, image, ch), by.slope_z);
    sum.write_plane(p.pixels, plane_of(dz, p.pixels, image, ch), false);
  });
}

}  // namespace drnas::kernels
