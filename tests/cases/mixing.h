// SPDX-License-Identifier: MIT
// Calls of kernels/alpha/mixing.h.
#pragma once

#include "kernels/alpha/mixing.h"
#include "tests/cases/buffers.h"

namespace drnas::test {

/// A table [edges, ops] and one like it with a further column, and everything that is done to them.
struct MixingCase {
  int edges, ops;
  Doubles alpha, g;                ///< [edges, ops]
  Doubles wide, wide_g;            ///< [edges, ops + 1]
  std::vector<std::uint8_t> mask;  ///< empty: all kept
  std::vector<std::int32_t> sets;  ///< of the wide table: rows without their last column, then its
                                   ///< two halves
  std::uint64_t seed = 11;
  std::uint32_t step = 3;
  double temperature = 0.7, radius = 0.2;
  int samples = 0;

  MixingCase(Rng& rng, int rows, int columns, bool masked)
      : edges(rows),
        ops(columns),
        alpha(normals(rng, std::int64_t{rows} * columns)),
        g(normals(rng, std::int64_t{rows} * columns)),
        wide(normals(rng, std::int64_t{rows} * (columns + 1))),
        wide_g(normals(rng, std::int64_t{rows} * (columns + 1))) {
    for (int i = 0; i < edges * ops && masked; ++i) mask.push_back(i % ops == 0 || rng() % 2);
    const int half = (edges + 1) / 2, stride = ops + 1;
    for (int e = 0; e < edges; ++e) sets.insert(sets.end(), {e * stride, ops, 1});
    sets.insert(sets.end(), {ops, half, stride});
    if (edges > half) sets.insert(sets.end(), {half * stride + ops, edges - half, stride});
  }

  template <Device D>
  Call draw(Buffers<D>& b) const {
    const kernels::GumbelDraw p{b.template input<double>(alpha),
                                b.template input<std::uint8_t>(mask),
                                b.template output<double>("theta", edges * ops),
                                b.template output<double>("soft", edges * ops),
                                edges,
                                ops,
                                seed,
                                b.template input<std::uint32_t>(std::vector{step}),
                                b.template input<double>(Doubles{temperature}),
                                samples};
    return b.call(0, [=](kernels::Stream s) { kernels::gumbel_draw<D>(p, s); });
  }
  template <Device D>
  Call soft_backward(Buffers<D>& b, const Doubles& soft) const {
    const double *of = b.template input<double>(soft), *dtheta = b.template input<double>(g),
                 *at = b.template input<double>(Doubles{temperature});
    double* dalpha = b.template output<double>("dalpha", edges * ops);
    return b.call(0, [=, e = edges, o = ops](kernels::Stream s) {
      kernels::gumbel_backward<D>(e, o, of, at, dtheta, dalpha, s);
    });
  }
  template <Device D>
  Call score(Buffers<D>& b, const Doubles& theta) const {
    const double *of = b.template input<double>(alpha), *drawn = b.template input<double>(theta),
                 *dtheta = b.template input<double>(g);
    const std::uint8_t* kept = b.template input<std::uint8_t>(mask);
    double* dalpha = b.template output<double>("dalpha", edges * ops);
    return b.call(0, [=, e = edges, o = ops](kernels::Stream s) {
      kernels::score_backward<D>(e, o, of, kept, drawn, dtheta, dalpha, s);
    });
  }
  template <Device D>
  Call pair(Buffers<D>& b, const Doubles& theta) const {
    const double *of = b.template input<double>(alpha), *drawn = b.template input<double>(theta),
                 *dtheta = b.template input<double>(g);
    double *dalpha = b.template output<double>("dalpha", edges * ops),
           *moved = b.template output<double>("alpha", g);
    return b.call(0, [=, e = edges, o = ops](kernels::Stream s) {
      kernels::pair_backward<D>(e, o, of, drawn, dtheta, dalpha, s);
      kernels::keep_mass<D>(e, o, drawn, of, moved, s);
    });
  }
  /// p, theta, dp, dalpha of weights of edges.
  template <Device D>
  Call edge_weights(Buffers<D>& b) const {
    const kernels::EntrySets all = entry_sets(b);
    const double *in = b.template input<double>(wide), *dtheta = b.template input<double>(wide_g);
    const std::int64_t count = static_cast<std::int64_t>(wide.size());
    double *p = b.template output<double>("p", count),
           *theta = b.template output<double>("theta", count),
           *dp = b.template output<double>("dp", count),
           *dalpha = b.template output<double>("dalpha", count);
    return b.call(0, [=, e = edges, o = ops](kernels::Stream s) {
      kernels::softmax_sets<D>(all, in, p, s);
      kernels::weigh_edges<D>(e, o, p, theta, s);
      kernels::weigh_edges_backward<D>(e, o, p, dtheta, dp, s);
      kernels::softmax_sets_backward<D>(all, p, dp, dalpha, s);
    });
  }
  /// Weights of the simplex after a step from `start`.
  template <Device D>
  Call exponentiated(Buffers<D>& b, const Doubles& start, double rate, double floor) const {
    const kernels::ExponentiatedStep p{entry_sets(b),
                                       static_cast<int>(wide.size()),
                                       b.template input<double>(wide_g),
                                       b.template output<double>("weights", start),
                                       b.template output<double>("norm", 1),
                                       rate,
                                       floor};
    return b.call(0, [=](kernels::Stream s) { kernels::exponentiated_step<D>(p, s); });
  }
  /// Noise after a step of ascent, theta around `p`, and what is left of the noise there.
  template <Device D>
  Call perturb(Buffers<D>& b, const Doubles& p, double share) const {
    const double *at = b.template input<double>(p), *up = b.template input<double>(g),
                 *within = b.template input<double>(Doubles{radius});
    const std::uint32_t* number = b.template input<std::uint32_t>(std::vector{step});
    double *noise = b.template output<double>("noise", edges * ops),
           *delta = b.template output<double>("delta", edges * ops),
           *theta = b.template output<double>("theta", edges * ops);
    return b.call(0, [=, e = edges, o = ops, of = seed](kernels::Stream s) {
      for (double* d : {noise, delta}) {
        kernels::uniform_noise<D>(e * o, of, number, within, d, s);
        if (share > 0) kernels::ascend_sign<D>(e * o, up, share, within, d, s);
      }
      kernels::perturb_rows<D>(e, o, at, delta, theta, s);
    });
  }

 private:
  template <Device D>
  kernels::EntrySets entry_sets(Buffers<D>& b) const {
    return {static_cast<int>(sets.size() / 3),
            reinterpret_cast<const kernels::EntrySet*>(b.template input<std::int32_t>(sets))};
  }
};

}  // namespace drnas::test
