// SPDX-License-Identifier: MIT
// Node mixes on planes in float64. `Inputs` of a call: anything with planes(n, dense) and
// array(values) that say where these numbers are.
#pragma once

#include <memory>

#include "kernels/planes/plane_mix.h"
#include "tests/kernels/planes/plane_reference.h"

namespace drnas::test {

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
  PlaneShape s;
  int parts;
  Doubles theta, dy;
  std::vector<Term> terms;
  std::vector<Source> sources;

  PlaneMixCase(std::mt19937_64& rng, const PlaneShape& shape, int parts, int term_count,
               int source_count)
      : s(shape), parts(parts) {
    std::uniform_real_distribution<double> uniform(0.1, 1.0);
    for (int i = 0; i < 2 * (term_count + source_count) + 2; ++i) theta.push_back(uniform(rng));
    for (int t = 0; t < term_count; ++t) {
      Term term{normals(rng, s.count(), uniform(rng)), {}, {}, 2 * t + 1};
      const double offset = normals(rng, 1)[0];
      for (double& z : term.z) z = static_cast<float>(z + offset);
      const ChannelMoments moments(s, term.z);
      term.mean = rounded(moments.mean);
      term.inv_std = rounded(moments.inv_std());
      terms.push_back(std::move(term));
    }
    for (int k = 0; k < source_count; ++k)
      sources.push_back({normals(rng, s.count()), normals(rng, s.count() * (parts - 1)),
                         rng() % 4 ? 2 * (term_count + k) : -1});
    dy = normals(rng, s.count() * parts);
  }

  PlaneShape whole() const { return {s.n, s.c * parts, s.pixels}; }
  PlaneShape bypassed() const { return {s.n, s.c * (parts - 1), s.pixels}; }

  /// theta is the host's; the caller may move it.
  template <class Inputs>
  kernels::PlaneMix call(Inputs& inputs) const {
    kernels::PlaneMix p{};
    p.n = s.n, p.pixels = s.pixels, p.c = s.c, p.channels = s.c * parts;
    for (const Term& t : terms)
      p.term[p.terms++] = {inputs.planes(s.n, t.z), inputs.array(t.mean), inputs.array(t.inv_std),
                           t.theta};
    for (const Source& source : sources) {
      kernels::PlaneMixSource& out = p.source[p.sources++];
      out.skip_theta = source.theta;
      if (source.theta >= 0) out.x = inputs.planes(s.n, source.x);
      if (parts > 1) out.bypass = inputs.planes(s.n, source.bypass);
    }
    p.theta = theta.data();
    return p;
  }

  Bounded forward() const {
    Bounded y(whole().count());
    s.each([&](int image, int ch, std::int64_t i) {
      const std::int64_t to = whole().at(image, ch * parts, i % s.pixels);
      for (const Term& t : terms) {
        const double scale = theta[t.theta] * t.inv_std[ch];
        y.add(to, scale * (t.z[i] - t.mean[ch]), scale * (std::abs(t.z[i]) + std::abs(t.mean[ch])));
      }
      for (const Source& source : sources)
        if (source.theta >= 0) y.add(to, theta[source.theta] * source.x[i]);
    });
    for (const Source& source : sources)
      bypassed().each([&](int image, int ch, std::int64_t i) {
        const int shuffled = ch % s.c * parts + 1 + ch / s.c;
        y.add(whole().at(image, shuffled, i % s.pixels), source.bypass[i]);
      });
    return y;
  }

  Doubles mixed_gradient() const {
    Doubles mixed(s.count());
    s.each([&](int image, int ch, std::int64_t i) {
      mixed[i] = dy[whole().at(image, ch * parts, i % s.pixels)];
    });
    return mixed;
  }

  struct Gradients {
    Bounded theta;
    std::vector<Bounded> z;
  };
  Gradients backward() const {
    const Doubles mixed = mixed_gradient();
    Gradients d{Bounded(static_cast<std::int64_t>(theta.size())), {}};
    for (const Term& t : terms) {
      NormGradient norm(s, t.z, t.mean, t.inv_std, Doubles(s.c, theta[t.theta]), mixed);
      for (int ch = 0; ch < s.c; ++ch)
        d.theta.add(t.theta, norm.product.value[ch], norm.product.magnitude[ch]);
      d.z.push_back(std::move(norm.dz));
    }
    for (const Source& source : sources)
      for (std::int64_t i = 0; i < s.count() && source.theta >= 0; ++i)
        d.theta.add(source.theta, mixed[i] * source.x[i]);
    return d;
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

  SourceGradientCase(std::mt19937_64& rng, const PlaneShape& shape, int parts, int edges,
                     bool accumulate)
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

  template <class Inputs>
  kernels::PlaneSourceGradient call(Inputs& inputs) const {
    kernels::PlaneSourceGradient p{};
    p.n = s.n, p.pixels = s.pixels, p.c = s.c, p.channels = s.c * parts;
    for (std::size_t e = 0; e < dy.size(); ++e) {
      p.dy[p.edges] = inputs.planes(s.n, dy[e]);
      p.skip_theta[p.edges++] = skip[e];
    }
    p.theta = theta.data();
    p.accumulate_x = p.accumulate_bypass = accumulate;
    return p;
  }
  /// What dx and dbypass hold before.
  Doubles start_x() const { return accumulate ? before_x : Doubles(before_x.size(), NAN); }
  Doubles start_bypass() const {
    return accumulate ? before_bypass : Doubles(before_bypass.size(), NAN);
  }
  Bounded x() const { return part(0, s.c, before_x); }
  Bounded bypass() const { return part(s.c, s.c * parts, before_bypass); }

 private:
  /// Channels [first, end) of (mixed, bypassed).
  Bounded part(int first, int end, const Doubles& before) const {
    const PlaneShape to{s.n, end - first, s.pixels}, from{s.n, s.c * parts, s.pixels};
    Bounded d(to.count());
    to.each([&](int image, int k, std::int64_t i) {
      const int ch = first + k;
      if (accumulate) d.add(i, before[i]);
      for (std::size_t e = 0; e < dy.size(); ++e) {
        if (ch < s.c && skip[e] < 0) continue;
        const double weight = ch < s.c ? theta[skip[e]] : 1.0;
        d.add(i, weight * dy[e][from.at(image, ch % s.c * parts + ch / s.c, i % s.pixels)]);
      }
    });
    return d;
  }
};

}  // namespace drnas::test
