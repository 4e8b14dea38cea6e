// SPDX-License-Identifier: MIT
// Random inputs of kernels/alpha/alpha_step.h, in one buffer that goes to either device.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "kernels/alpha/alpha_step.h"
#include "kernels/alpha/dirichlet.h"

namespace drnas::test {

/// Tables [edges, ops] one behind the other, then the squared norm.
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
  std::vector<double> values;
  std::vector<std::uint8_t> mask;  ///< empty: all kept
  std::int64_t steps = 0;

  template <class Engine>
  AlphaCase(Engine& engine, int rows, int columns, bool from_draw, double divergence, bool masked)
      : edges(rows), ops(columns), draws(from_draw), kl(divergence), values(tables * size() + 1) {
    std::normal_distribution<double> normal;
    for (const Table t : {alpha, gradient, dtheta, first, second})
      for (int i = 0; i < size(); ++i) at(t)[i] = normal(engine);
    for (int i = 0; i < size(); ++i) at(second)[i] *= at(second)[i];
    for (int i = 0; masked && i < size(); ++i)
      mask.push_back(i % ops == 0 || engine() % 3 != 0 ? 1 : 0);
    if (masked && edges > 1)
      for (int i = 0; i < ops; ++i) mask[i] = 0;  // a row that keeps nothing
    draw(7);
  }
  int size() const { return edges * ops; }
  double* at(Table t) { return values.data() + t * size(); }
  std::vector<double> table(Table t) const {
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
  /// The call on copies of the buffers that lie on some device.
  kernels::AlphaStep describe(double* v, const std::uint8_t* kept, std::int64_t* count) const {
    const auto of = [&](Table t) { return v + t * size(); };
    return {edges,
            ops,
            draws ? of(dtheta) : nullptr,
            mask.empty() ? nullptr : kept,
            of(concentration),
            of(theta),
            of(derivative),
            of(raw_theta),
            kl,
            of(gradient),
            v + tables * size(),
            rule,
            count,
            of(alpha),
            of(first),
            of(second)};
  }
  void run_on_cpu() {
    kernels::alpha_step<Device::cpu>(describe(values.data(), mask.data(), &steps), nullptr);
  }
};

}  // namespace drnas::test
