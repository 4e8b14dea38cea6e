// SPDX-License-Identifier: MIT
// Calls of kernels/planes/plane_pool.h.
#pragma once

#include <optional>

#include "kernels/planes/plane_pool.h"
#include "tests/cases/plane_norm.h"

namespace drnas::test {

inline PlaneShape input_shape(const kernels::PlanePool& p) {
  return {p.n, p.c, std::int64_t{p.h} * p.w};
}
inline PlaneShape output_shape(const kernels::PlanePool& p) {
  return {p.n, p.c, std::int64_t{p.out_h()} * p.out_w()};
}

/// A pool of x, and gradients of `edges` that read its result.
struct PlanePoolCase {
  kernels::PlanePool p;
  Doubles x, before;
  std::vector<PlaneGradientCase> gradients;
  bool accumulate;

  PlanePoolCase(Rng& rng, const kernels::PlanePool& pool, const Doubles& input, int edges,
                bool normalised, bool accumulate)
      : p(pool), x(input), before(normals(rng, input_shape(p).count())), accumulate(accumulate) {
    for (int e = 0; e < edges; ++e)
      gradients.emplace_back(rng, output_shape(p), pick(rng, {1, 1, 2, 4}),
                             normalised && (e == 0 || rng() % 3));
  }
  bool normalised() const {
    return std::any_of(gradients.begin(), gradients.end(),
                       [](const PlaneGradientCase& g) { return !g.coefficients.empty(); });
  }
  double products() const {
    return static_cast<double>(output_shape(p).count()) * p.kernel * p.kernel;
  }

  /// With the result's statistics where there is a mode.
  template <Device D>
  Call forward(Buffers<D>& b, const std::optional<kernels::NormMode>& mode = {}) const {
    const auto in = b.images(p.n, x);
    const auto y = b.output_images("y", p.n, output_shape(p).count());
    kernels::PlaneStatistics statistics;
    if (mode) statistics = output_statistics(b, p.c);
    void* workspace = mode ? b.workspace(kernels::plane_pool_workspace<D>(p)) : nullptr;
    return b.call(products(), [=, p = p](kernels::Stream stream) {
      kernels::plane_pool_forward<D>(p, in, y, statistics, mode.value_or(kernels::NormMode{}),
                                     workspace, stream);
    });
  }
  /// `pooled` as forward left it.
  template <Device D>
  Call backward(Buffers<D>& b, const Doubles& pooled) const {
    kernels::PlanePoolBackward k{};
    k.pool = p;
    if (p.max) k.x = b.images(p.n, x);
    if (normalised()) k.pooled = b.images(p.n, pooled);
    for (const PlaneGradientCase& g : gradients) k.gradient[k.edges++] = g.gradient(b);
    k.dx = b.output_images("dx", p.n, before, accumulate);
    k.accumulate = accumulate;
    return b.call(products() + 4.0 * k.edges * output_shape(p).count(),
                  [=](kernels::Stream stream) { kernels::plane_pool_backward<D>(k, stream); });
  }
};

}  // namespace drnas::test
