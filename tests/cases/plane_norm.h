// SPDX-License-Identifier: MIT
// Calls of kernels/planes/plane_norm.h.
#pragma once

#include "kernels/planes/plane_norm.h"
#include "tests/cases/shapes.h"

namespace drnas::test {

struct PlaneNormCase {
  PlaneShape s;
  bool relu, affine, scaled, normalised = false;
  Doubles x, mean, inv_std, gamma, beta, scale, dy, before;

  /// gamma and beta, and the images' scales (zeros among them), are there at random.
  PlaneNormCase(Rng& rng, const PlaneShape& shape, bool relu)
      : s(shape),
        relu(relu),
        affine(rng() % 2),
        scaled(rng() % 2),
        x(offset_normals(rng, s.count())),
        gamma(normals(rng, s.c)),
        beta(normals(rng, s.c)),
        dy(normals(rng, s.count())),
        before(normals(rng, s.count())) {
    const ChannelMoments moments(s, x);
    mean = rounded(moments.mean);
    inv_std = rounded(moments.inv_std());
    for (int i = 0; i < s.n; ++i) scale.push_back(rng() % 3 ? 1.25 : 0.0);
    if (!affine) gamma.assign(s.c, 1.0), beta.assign(s.c, 0.0);
    if (!scaled) scale.assign(s.n, 1.0);
  }
  /// x as it is, which mean 0 and 1/std 1 say as well.
  void normalise(bool without_statistics) {
    normalised = without_statistics;
    mean.assign(s.c, 0.0);
    inv_std.assign(s.c, 1.0);
  }
  kernels::PlaneNorm shape() const { return {s.n, s.c, s.pixels}; }

  template <Device D>
  Call moments(Buffers<D>& b, const kernels::NormMode& mode, bool running = true) const {
    const auto in = b.images(s.n, x);
    const kernels::PlaneStatistics out = output_statistics(b, s.c, running);
    void* workspace = b.workspace(kernels::plane_norm_workspace<D>(shape()));
    return b.call(3.0 * x.size(), [=, p = shape()](kernels::Stream stream) {
      kernels::plane_moments<D>(p, in, out, mode, workspace, stream);
    });
  }
  template <Device D>
  Call apply(Buffers<D>& b, bool accumulate) const {
    const kernels::PlaneNormApply p = inputs(b, accumulate);
    const auto y = b.output_images("y", s.n, before, accumulate);
    return b.call(2.0 * x.size(),
                  [=](kernels::Stream stream) { kernels::plane_norm_apply<D>(p, y, stream); });
  }
  /// Without `all`: coefficients only.
  template <Device D>
  Call backward(Buffers<D>& b, bool accumulate, bool all = true) const {
    kernels::PlaneNormBackward p{};
    p.apply = inputs(b, false);
    p.dy = b.images(s.n, dy);
    p.coefficients = b.output("coefficients", 3 * s.c);
    p.accumulate = accumulate;
    if (all) {
      p.dgamma = b.output("dgamma", s.c);
      p.dbeta = b.output("dbeta", s.c);
      p.dx = b.output_images("dx", s.n, before, accumulate);
    }
    void* workspace = b.workspace(kernels::plane_norm_backward_workspace<D>(shape()));
    return b.call(8.0 * x.size(), [=](kernels::Stream stream) {
      kernels::plane_norm_backward<D>(p, workspace, stream);
    });
  }

 private:
  template <Device D>
  kernels::PlaneNormApply inputs(Buffers<D>& b, bool accumulate) const {
    return {shape(),
            b.images(s.n, x),
            normalised ? nullptr : b.input(mean),
            normalised ? nullptr : b.input(inv_std),
            affine ? b.input(gamma) : nullptr,
            affine ? b.input(beta) : nullptr,
            scaled ? b.input(scale) : nullptr,
            relu,
            accumulate};
  }
};

/// A gradient of planes [n, c, pixels]: every `step`-th plane of g, and coefficients or none.
struct PlaneGradientCase {
  PlaneShape s;
  int step;
  Doubles g, z, coefficients;

  PlaneGradientCase(Rng& rng, const PlaneShape& shape, int step, bool normalised)
      : s(shape), step(step), g(normals(rng, s.count() * step)) {
    if (!normalised) return;
    z = normals(rng, s.count());
    coefficients = normals(rng, 3 * s.c);
  }
  template <Device D>
  kernels::PlaneGradient gradient(Buffers<D>& b) const {
    return {b.images(s.n, g), step, b.input(coefficients)};
  }
  template <Device D>
  Call written_out(Buffers<D>& b) const {
    const kernels::PlaneGradient from = gradient(b);
    const auto raw = b.images(s.n, z);
    const auto dz = b.output_images("dz", s.n, s.count());
    const kernels::PlaneNorm p{s.n, s.c, s.pixels};
    return b.call(4.0 * s.count(), [=](kernels::Stream stream) {
      kernels::plane_gradient<D>(p, from, raw, dz, stream);
    });
  }
};

}  // namespace drnas::test
