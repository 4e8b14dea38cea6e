// SPDX-License-Identifier: MIT
// Calls of kernels/planes/plane_mix.h.
#pragma once

#include "kernels/planes/plane_mix.h"
#include "tests/cases/shapes.h"

namespace drnas::test {

/// Dropout of identities; a probability of -1: none.
struct SkipDropoutCase {
  float probability = -1;
  std::uint32_t step = 7;
  std::uint64_t seed = 5;

  bool active() const { return probability >= 0; }
  /// Numbers of identities, as a network has them.
  static int skip(std::size_t source) { return 14 * static_cast<int>(source) + 3; }
  template <Device D>
  kernels::SkipDropout place(Buffers<D>& b) const {
    if (!active()) return {};
    return {seed, b.input(std::vector{probability}),
            b.template input<std::uint32_t>(std::vector{step})};
  }
};

/// A random mix of terms and sources on planes [n, c, pixels] of `parts` c channels.
struct PlaneMixCase {
  struct Term {
    Doubles z, mean, inv_std;
    int theta;
  };
  struct Source {
    Doubles x, bypass;
    int theta;  ///< -1: no identity
  };
  static constexpr double dtheta_start = 0.25;
  PlaneShape s;
  int parts;
  Doubles theta, dy;
  std::vector<Term> terms;
  std::vector<Source> sources;
  SkipDropoutCase dropout = {};

  PlaneMixCase(Rng& rng, const PlaneShape& shape, int parts, int term_count, int source_count)
      : s(shape), parts(parts) {
    std::uniform_real_distribution<double> uniform(0.1, 1.0);
    for (int i = 0; i < 2 * (term_count + source_count) + 2; ++i) theta.push_back(uniform(rng));
    for (int t = 0; t < term_count; ++t) {
      Doubles z = offset_normals(rng, s.count(), uniform(rng));
      const ChannelMoments moments(s, z);
      terms.push_back({std::move(z), rounded(moments.mean), rounded(moments.inv_std()), 2 * t + 1});
    }
    for (int k = 0; k < source_count; ++k)
      sources.push_back({normals(rng, s.count()), normals(rng, s.count() * (parts - 1)),
                         rng() % 4 ? 2 * (term_count + k) : -1});
    dy = normals(rng, s.count() * parts);
  }

  PlaneShape whole() const { return {s.n, s.c * parts, s.pixels}; }
  double products() const {
    return static_cast<double>(s.count() * (terms.size() + sources.size()));
  }

  template <Device D>
  Call forward(Buffers<D>& b) const {
    const kernels::PlaneMix p = mix(b);
    const auto y = b.output_images("y", s.n, whole().count());
    return b.call(2 * products(),
                  [=](kernels::Stream stream) { kernels::plane_mix_forward<D>(p, y, stream); });
  }
  /// dtheta stays as it starts where it is not wanted.
  template <Device D>
  Call backward(Buffers<D>& b, bool want_theta = true) const {
    kernels::PlaneMixBackward k{mix(b), b.images(s.n, dy), {}, nullptr};
    for (int t = 0; t < k.mix.terms; ++t)
      k.coefficients[t] = b.output("coefficients " + std::to_string(t), 3 * s.c);
    double* dtheta = b.template output<double>("dtheta", Doubles(theta.size(), dtheta_start));
    if (want_theta) k.dtheta = dtheta;
    void* workspace = b.workspace(kernels::plane_mix_backward_workspace<D>(k.mix));
    return b.call(4 * products(), [=](kernels::Stream stream) {
      kernels::plane_mix_backward<D>(k, workspace, stream);
    });
  }

 private:
  template <Device D>
  kernels::PlaneMix mix(Buffers<D>& b) const {
    kernels::PlaneMix p{};
    p.n = s.n, p.pixels = s.pixels, p.c = s.c, p.channels = s.c * parts;
    for (const Term& t : terms)
      p.term[p.terms++] = {b.images(s.n, t.z), b.input(t.mean), b.input(t.inv_std), t.theta};
    for (const Source& source : sources) {
      kernels::PlaneMixSource& out = p.source[p.sources++];
      out.skip = SkipDropoutCase::skip(p.sources - 1);
      out.skip_theta = source.theta;
      if (source.theta >= 0) out.x = b.images(s.n, source.x);
      out.bypass = b.images(s.n, source.bypass);
    }
    p.theta = b.template input<double>(theta);
    p.dropout = dropout.place(b);
    return p;
  }
};

/// A random state with edges to later nodes.
struct SourceGradientCase {
  PlaneShape s;
  int parts;
  bool accumulate;
  Doubles theta, before_x, before_bypass;
  std::vector<Doubles> dy;
  std::vector<int> skip;
  SkipDropoutCase dropout = {};

  SourceGradientCase(Rng& rng, const PlaneShape& shape, int parts, int edges, bool accumulate)
      : s(shape),
        parts(parts),
        accumulate(accumulate),
        theta(normals(rng, 2 * edges + 1)),
        before_x(normals(rng, s.count())),
        before_bypass(normals(rng, s.count() * (parts - 1))) {
    for (int e = 0; e < edges; ++e) {
      dy.push_back(normals(rng, s.count() * parts));
      skip.push_back(rng() % 3 ? 2 * e + 1 : -1);
    }
  }

  template <Device D>
  Call gradient(Buffers<D>& b, bool want_bypass = true) const {
    kernels::PlaneSourceGradient p{};
    p.n = s.n, p.pixels = s.pixels, p.c = s.c, p.channels = s.c * parts;
    for (std::size_t e = 0; e < dy.size(); ++e) {
      p.dy[p.edges] = b.images(s.n, dy[e]);
      p.skip[p.edges] = SkipDropoutCase::skip(e);
      p.skip_theta[p.edges++] = skip[e];
    }
    p.theta = b.template input<double>(theta);
    p.dropout = dropout.place(b);
    p.accumulate_x = p.accumulate_bypass = accumulate;
    p.dx = b.output_images("dx", s.n, before_x, accumulate);
    if (want_bypass) p.dbypass = b.output_images("dbypass", s.n, before_bypass, accumulate);
    return b.call(2.0 * p.edges * s.count() * parts,
                  [=](kernels::Stream stream) { kernels::plane_source_gradient<D>(p, stream); });
  }
};

}  // namespace drnas::test
