// SPDX-License-Identifier: MIT
// Calls of kernels/train/optimizer.h.
#pragma once

#include "kernels/train/optimizer.h"
#include "tests/cases/buffers.h"

namespace drnas::test {

/// The norm of all values but the first `skipped`, which spoil their alignment.
struct SquaredNormCase {
  Doubles values, extra;
  int skipped = 0;

  template <Device D>
  Call norm(Buffers<D>& b) const {
    kernels::SquaredNorm p{};
    p.count = static_cast<std::int64_t>(values.size()) - skipped;
    p.values = values.empty() ? nullptr : b.input(values) + skipped;
    p.extra_count = static_cast<std::int64_t>(extra.size());
    p.extra = b.template input<double>(extra);
    p.total = b.template output<double>("total", 1);
    void* workspace = b.workspace(kernels::squared_norm_workspace<D>(p));
    return b.call(2.0 * values.size(),
                  [=](kernels::Stream stream) { kernels::squared_norm<D>(p, workspace, stream); });
  }
};

struct SgdCase {
  struct Options {
    double squared_norm = 4, max_norm = 0;
    int skipped[4] = {};  ///< values before weights, velocity, gradient and copy: no part of them
    bool copies = false, nesterov = false;
  };
  static constexpr double learning_rate = 0.025;
  static constexpr float momentum = 0.9f, weight_decay = 3e-4f, old_copy = 7.0f;
  int count;
  Options options;
  Doubles weights, velocity, gradient;

  SgdCase(Rng& rng, int values, const Options& o)
      : count(values),
        options(o),
        weights(normals(rng, count + o.skipped[0])),
        velocity(normals(rng, count + o.skipped[1])),
        gradient(normals(rng, count + o.skipped[2])) {}

  /// Results: weights, velocity, and "copy" where there is one.
  template <Device D>
  Call step(Buffers<D>& b) const {
    const Options& o = options;
    const double* scalars = b.template input<double>(Doubles{learning_rate, o.squared_norm});
    kernels::SgdStep p{};
    p.count = count;
    p.learning_rate = scalars;
    p.squared_norm = scalars + 1;
    p.max_norm = o.max_norm;
    p.momentum = momentum;
    p.weight_decay = weight_decay;
    p.weights = b.output("weights", weights) + o.skipped[0];
    p.velocity = b.output("velocity", velocity) + o.skipped[1];
    p.gradient = b.input(gradient) + o.skipped[2];
    if (o.copies)
      p.rounded = b.template output<bfloat16>("copy", Doubles(count + o.skipped[3], old_copy)) +
                  o.skipped[3];
    p.nesterov = o.nesterov;
    return b.call(6.0 * count, [=](kernels::Stream stream) { kernels::sgd_step<D>(p, stream); });
  }
};

}  // namespace drnas::test
