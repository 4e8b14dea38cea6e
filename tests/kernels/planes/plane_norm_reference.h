// SPDX-License-Identifier: MIT
// Batch normalisation of planes with an image's scale and a ReLU, in float64.
#pragma once

#include "kernels/planes/plane_norm.h"
#include "tests/kernels/planes/plane_reference.h"

namespace drnas::test {

struct PlaneNormCase {
  PlaneShape s;
  bool relu, affine, scaled;
  Doubles x, mean, inv_std, gamma, beta, scale, dy, before;

  /// gamma and beta, and the images' scales (zeros among them), are there at random.
  PlaneNormCase(std::mt19937_64& rng, const PlaneShape& shape, bool relu)
      : s(shape),
        relu(relu),
        affine(rng() % 2),
        scaled(rng() % 2),
        x(normals(rng, s.count())),
        gamma(normals(rng, s.c)),
        beta(normals(rng, s.c)),
        dy(normals(rng, s.count())),
        before(normals(rng, s.count())) {
    const double offset = normals(rng, 1)[0];
    for (double& v : x) v = static_cast<float>(v + offset);
    const ChannelMoments moments(s, x);
    mean = rounded(moments.mean);
    inv_std = rounded(moments.inv_std());
    for (int i = 0; i < s.n; ++i) scale.push_back(rng() % 3 ? 1.25 : 0.0);
    if (!affine) gamma.assign(s.c, 1.0), beta.assign(s.c, 0.0);
    if (!scaled) scale.assign(s.n, 1.0);
  }

  template <class Inputs>
  kernels::PlaneNormApply call(Inputs& inputs) const {
    return {{s.n, s.c, s.pixels},
            inputs.planes(s.n, x),
            inputs.array(mean),
            inputs.array(inv_std),
            affine ? inputs.array(gamma) : nullptr,
            affine ? inputs.array(beta) : nullptr,
            scaled ? inputs.array(scale) : nullptr,
            relu,
            false};
  }

  Bounded forward(bool accumulate) const {
    Bounded y(s.count());
    s.each([&](int image, int ch, std::int64_t i) {
      const double a = gamma[ch] * inv_std[ch];
      y.add(i, scale[image] * (a * (x[i] - mean[ch]) + beta[ch]),
            scale[image] *
                (std::abs(a) * (std::abs(x[i]) + std::abs(mean[ch])) + std::abs(beta[ch])));
      if (accumulate) y.add(i, before[i]);
      if (relu) y.value[i] = std::max(0.0, y.value[i]);
    });
    return y;
  }
  /// dy'.
  Doubles masked_gradient() const {
    Doubles d(s.count());
    s.each([&](int image, int ch, std::int64_t i) {
      const double y = gamma[ch] * (x[i] - mean[ch]) * inv_std[ch] + beta[ch];
      d[i] = relu && y <= 0 ? 0.0 : scale[image] * dy[i];
    });
    return d;
  }
  NormGradient backward() const {
    return NormGradient(s, x, mean, inv_std, gamma, masked_gradient());
  }
};

}  // namespace drnas::test
