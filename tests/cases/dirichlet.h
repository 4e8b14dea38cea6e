// SPDX-License-Identifier: MIT
// Calls of kernels/alpha/dirichlet.h.
#pragma once

#include "kernels/alpha/dirichlet.h"
#include "tests/cases/buffers.h"

namespace drnas::test {

struct DirichletCase {
  int edges, ops;
  Doubles alpha, dtheta;           ///< [edges, ops]
  std::vector<std::uint8_t> mask;  ///< empty: all kept
  std::uint64_t seed = 9;
  std::uint32_t step = 77;

  DirichletCase(int rows, int columns, Doubles start, std::vector<std::uint8_t> kept = {})
      : edges(rows), ops(columns), alpha(std::move(start)), mask(std::move(kept)) {}
  /// Every row keeps its first entry at least.
  DirichletCase(Rng& rng, int rows, int columns)
      : DirichletCase(rows, columns, normals(rng, std::int64_t{rows} * columns)) {
    dtheta = normals(rng, size());
    for (int i = 0; i < size(); ++i) mask.push_back(i % ops == 0 || rng() % 3 != 0);
  }
  int size() const { return edges * ops; }

  /// Results: concentration, theta, derivative, raw_theta.
  template <Device D>
  Call sample(Buffers<D>& b) const {
    const kernels::DirichletSample p = place(b);
    return b.call(0, [=](kernels::Stream s) { kernels::dirichlet_sample<D>(p, s); });
  }
  /// After a draw, which has run: dalpha.
  template <Device D>
  Call backward(Buffers<D>& b) const {
    const kernels::DirichletSample p = place(b);
    kernels::dirichlet_sample<D>(p, nullptr);
    const kernels::DirichletBackward k{b.template input<double>(dtheta),
                                       p.alpha,
                                       p.kept,
                                       p.concentration,
                                       p.theta,
                                       p.derivative,
                                       p.raw_theta,
                                       b.template output<double>("dalpha", size()),
                                       edges,
                                       ops};
    return b.call(8.0 * size(), [=](kernels::Stream s) { kernels::dirichlet_backward<D>(k, s); });
  }

 private:
  template <Device D>
  kernels::DirichletSample place(Buffers<D>& b) const {
    const auto table = [&](const char* name) { return b.template output<double>(name, size()); };
    double *concentration = table("concentration"), *theta = table("theta"),
           *derivative = table("derivative");
    return {b.template input<double>(alpha),
            b.template input<std::uint8_t>(mask),
            concentration,
            theta,
            derivative,
            table("raw_theta"),
            edges,
            ops,
            seed,
            b.template input<std::uint32_t>(std::vector{step})};
  }
};

}  // namespace drnas::test
