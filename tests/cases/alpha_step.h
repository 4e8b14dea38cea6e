// SPDX-License-Identifier: MIT
// Calls of kernels/alpha/alpha_step.h.
#pragma once

#include "kernels/alpha/alpha_step.h"
#include "kernels/alpha/dirichlet.h"
#include "tests/cases/buffers.h"

namespace drnas::test {

/// Tables [edges, ops] one after the other, then the squared norm, in one buffer.
struct AlphaCase {
  enum Table {
    alpha,
    first,
    second,
    gradient,
    dtheta,
    concentration,
    theta,
    derivative,
    raw_theta,
    tables
  };
  int edges, ops;
  bool draws;  ///< dL/dtheta of a Dirichlet's draw is given, else dL/dalpha
  double kl;
  kernels::AdamRule rule{3e-4, 0.5, 0.999, 1e-8, 1e-3};
  Doubles values;
  std::vector<std::uint8_t> mask;  ///< empty: all kept
  std::int64_t steps = 0;

  AlphaCase(Rng& rng, int rows, int columns, bool from_draw, double divergence, bool masked)
      : edges(rows), ops(columns), draws(from_draw), kl(divergence), values(tables * size() + 1) {
    std::normal_distribution<double> normal;
    for (const Table t : {alpha, gradient, dtheta, first, second})
      for (int i = 0; i < size(); ++i) at(t)[i] = normal(rng);
    for (int i = 0; i < size(); ++i) at(second)[i] *= at(second)[i];
    for (int i = 0; masked && i < size(); ++i) mask.push_back(i % ops == 0 || rng() % 3 != 0);
    if (masked && edges > 1)
      for (int i = 0; i < ops; ++i) mask[i] = 0;  // a row that keeps nothing
    draw(7);
  }
  int size() const { return edges * ops; }
  double* at(Table t) { return values.data() + t * size(); }
  Doubles table(Table t) const {
    return {values.begin() + t * size(), values.begin() + (t + 1) * size()};
  }
  double squared_norm() const { return values.back(); }
  /// Mixing weights of alpha as it stands.
  void draw(std::uint32_t step) {
    kernels::dirichlet_sample<Device::cpu>(
        {at(alpha), mask.empty() ? nullptr : mask.data(), at(concentration), at(theta),
         at(derivative), at(raw_theta), edges, ops, 9, &step},
        nullptr);
  }

  template <Device D>
  Call step(Buffers<D>& b) const {
    double* v = b.template output<double>("values", values);
    const auto of = [&](Table t) { return v + t * size(); };
    const kernels::AlphaStep p{
        edges,
        ops,
        draws ? of(dtheta) : nullptr,
        b.template input<std::uint8_t>(mask),
        of(concentration),
        of(theta),
        of(derivative),
        of(raw_theta),
        kl,
        of(gradient),
        v + tables * size(),
        rule,
        b.template output<std::int64_t>("steps", std::vector<std::int64_t>{steps}),
        of(alpha),
        of(first),
        of(second)};
    return b.call(30.0 * size(),
                  [=](kernels::Stream stream) { kernels::alpha_step<D>(p, stream); });
  }
  /// The case as a step left it.
  AlphaCase after(const Results& r) const {
    AlphaCase c = *this;
    c.values = r.at("values");
    c.steps = static_cast<std::int64_t>(r.at("steps")[0]);
    return c;
  }
};

}  // namespace drnas::test
