// SPDX-License-Identifier: MIT
// Calls of kernels/bundle/node_mix.h.
#pragma once

#include "kernels/bundle/node_mix.h"
#include "tests/cases/shapes.h"

namespace drnas::test {

/// A normalised term: z [pixels, c] enters as theta (z - mean) inv_std.
struct MixTerm {
  Doubles z, mean, inv_std;
  int theta;
};
/// A source node x [pixels, channels]; theta -1: no such operation.
struct MixSource {
  Doubles x;
  int skip_theta, pool_theta;
};
struct Mix {
  Images g;
  Doubles theta;
  std::vector<MixTerm> terms;
  std::vector<MixSource> sources;
};

/// A random mix of numbers that bfloat16 holds exactly where `narrow`. Which ops are there is
/// random; two terms share one mixing weight where `shared`.
struct NodeMixCase : Mix {
  /// A term's z in raw output `raw`, as that of edge `edge` of so many.
  struct View {
    int raw, edges, edge;
  };
  static constexpr double dtheta_start = 0.25;
  std::vector<View> views;
  Doubles dy;
  bool one_source = false;  ///< all sources are the first one
  bool apart = false;       ///< sources lie apart, and so does y
  bool folded = false;      ///< terms have no scale of their own (CUDA)

  NodeMixCase(Rng& rng, const Images& images, int term_count, int source_count, bool shared = false,
              bool narrow = false)
      : Mix{images, {}, {}, {}} {
    const auto kept = [&](Doubles values) { return narrow ? rounded<bfloat16>(values) : values; };
    std::uniform_real_distribution<double> uniform(0.1, 1.0);
    for (int i = 0; i < 2 * (term_count + source_count) + 1; ++i) theta.push_back(uniform(rng));
    for (int t = 0; t < term_count; ++t) {
      const double offset = normals(rng, 1)[0];
      Doubles z = normals(rng, g.pixels() * g.c, uniform(rng)), inv_std;
      for (double& v : z) v += offset;
      z = kept(rounded(z));
      const Moments moments(z, g.c);
      for (const double var : moments.var) inv_std.push_back(1.0 / std::sqrt(var + 1e-5));
      terms.push_back(
          {std::move(z), rounded(moments.mean), rounded(inv_std), shared ? t / 2 : 2 * t});
      const int edges = pick(rng, {1, 2, 3});
      views.push_back({t, edges, static_cast<int>(rng() % edges)});
    }
    for (int s = 0; s < source_count; ++s) {
      const int first = 2 * (term_count + s);
      sources.push_back(
          {kept(normals(rng, g.count())), rng() % 4 ? first : -1, rng() % 4 ? first + 1 : -1});
    }
    dy = kept(normals(rng, g.count()));
  }
  /// As if all edges left one node: raw outputs of one size lie together, all operations are there.
  void leave_one_node() {
    const int edges = static_cast<int>(sources.size()),
              sizes = static_cast<int>(terms.size()) / edges;
    for (int t = 0; t < edges * sizes; ++t) views[t] = {t % sizes, edges, t / sizes};
    for (int s = 0; s < edges; ++s) sources[s].skip_theta = sources[s].pool_theta = s;
    one_source = true;
  }
  /// Sums and products of so many terms an element of the mixed channels.
  double flops(std::size_t count) const {
    return 2.0 * static_cast<double>(g.pixels()) * g.c * static_cast<double>(count);
  }

  template <class T = float, Device D>
  Call forward(Buffers<D>& b) const {
    const kernels::NodeMixOf<T> p = mix<T>(b);
    T* y = b.template output<T>("y", g.count());
    void* workspace = b.workspace(kernels::node_mix_workspace<D>(p));
    return b.call(flops(terms.size() + 2 * sources.size()), [=](kernels::Stream stream) {
      kernels::node_mix_forward<D>(p, y, workspace, stream);
    });
  }
  /// Results: coefficients [terms, 3, c], and dtheta, which stays as it starts where not wanted.
  template <class T = float, Device D>
  Call backward(Buffers<D>& b, bool want_theta = true) const {
    const auto k = gradients<T>(b, b.template input<T>(dy), want_theta);
    void* workspace = b.workspace(kernels::node_mix_backward_workspace<D>(k.mix));
    return b.call(flops(2 * terms.size() + sources.size() + 1), [=](kernels::Stream stream) {
      kernels::node_mix_backward<D>(k, workspace, stream);
    });
  }
  /// What the backward pass is called with.
  template <class T, Device D>
  kernels::NodeMixBackwardOf<T> gradients(Buffers<D>& b, const T* of_y, bool want_theta) const {
    kernels::NodeMixBackwardOf<T> k{mix<T>(b), of_y, {}, nullptr};
    float* out = b.output("coefficients", std::int64_t{3} * g.c * k.mix.terms);
    for (int t = 0; t < k.mix.terms; ++t) k.coefficients[t] = out + 3 * g.c * t;
    double* dtheta = b.template output<double>("dtheta", Doubles(theta.size(), dtheta_start));
    if (want_theta) k.dtheta = dtheta;
    return k;
  }

  /// The mix alone.
  template <class T, Device D>
  kernels::NodeMixOf<T> description(Buffers<D>& b) const {
    return mix<T>(b);
  }

 private:
  /// Raw output `raw` [pixels, stride]: NaN where no term's channels are.
  Doubles raw_output(int raw, int stride) const {
    Doubles out(g.pixels() * stride, NAN);
    for (std::size_t t = 0; t < terms.size(); ++t)
      for (std::int64_t i = 0; i < g.pixels() * g.c && views[t].raw == raw; ++i)
        out[i / g.c * stride + views[t].edge * g.c + i % g.c] = terms[t].z[i];
    return out;
  }
  template <class T, Device D>
  kernels::NodeMixOf<T> mix(Buffers<D>& b) const {
    kernels::NodeMixOf<T> p{};
    p.n = g.n, p.h = g.h, p.w = g.w, p.c = g.c, p.channels = g.channels;
    std::map<int, const T*> raw;
    for (const MixTerm& term : terms) {
      const View& v = views[p.terms];
      const int stride = (v.edges * g.c + 7) / 8 * 8;
      if (!raw[v.raw]) raw[v.raw] = b.template input<T>(raw_output(v.raw, stride));
      p.term[p.terms++] = {raw[v.raw] + v.edge * g.c, stride, b.input(term.mean),
                           folded ? nullptr : b.input(term.inv_std), folded ? -1 : term.theta};
    }
    for (const MixSource& source : sources) {
      const T* x =
          one_source && p.sources
              ? p.source[0].x
              : b.template input<T>(apart ? laid_apart(source.x, g.c, g.channels) : source.x);
      p.source[p.sources++] = {x, source.skip_theta, source.pool_theta, apart};
    }
    p.y_apart = apart;
    p.theta = b.template input<double>(theta);
    return p;
  }
};

}  // namespace drnas::test
