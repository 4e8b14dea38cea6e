// SPDX-License-Identifier: MIT
// Calls of kernels/planes/plane_pool.h.
#pragma once

#include <array>
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
    kernels::PlanePoolBackward k = inputs(b, pooled);
    k.dx = b.output_images("dx", p.n, before, accumulate);
    return b.call(gradient_products(),
                  [=](kernels::Stream stream) { kernels::plane_pool_backward<D>(k, stream); });
  }
  double gradient_products() const {
    return products() + 4.0 * gradients.size() * output_shape(p).count();
  }
  /// All but dx.
  template <Device D>
  kernels::PlanePoolBackward inputs(Buffers<D>& b, const Doubles& pooled) const {
    kernels::PlanePoolBackward k{};
    k.pool = p;
    if (p.max) k.x = b.images(p.n, x);
    if (normalised()) k.pooled = b.images(p.n, pooled);
    for (const PlaneGradientCase& g : gradients) k.gradient[k.edges++] = g.gradient(b);
    k.accumulate = accumulate;
    return k;
  }
};

/// Maximum and average of one x, in one call.
struct PlanePoolsCase {
  PlanePoolCase maximum, average;

  PlanePoolsCase(Rng& rng, const kernels::PlanePool& p, const Doubles& x, bool accumulate)
      : maximum(rng, of_kind(p, true), x, pick(rng, {1, 3}), true, accumulate),
        average(rng, of_kind(p, false), x, pick(rng, {0, 2}), true, true) {}

  template <Device D>
  Call forward(Buffers<D>& b, const kernels::NormMode& mode) const {
    const kernels::PlanePool& p = maximum.p;
    const auto in = b.images(p.n, maximum.x);
    const std::int64_t count = output_shape(p).count();
    const std::array<kernels::Planes, 2> y{b.output_images("max y", p.n, count),
                                           b.output_images("average y", p.n, count)};
    const std::array<kernels::PlaneStatistics, 2> statistics{
        output_statistics(b, p.c, true, "max "), output_statistics(b, p.c, true, "average ")};
    void* workspace = b.workspace(kernels::plane_pools_workspace<D>(p));
    return b.call(2 * maximum.products(), [=, p = p](kernels::Stream stream) {
      kernels::plane_pools_forward<D>(p, in, {y[0], y[1]}, {statistics[0], statistics[1]}, mode,
                                      workspace, stream);
    });
  }
  template <Device D>
  Call backward(Buffers<D>& b, const Doubles& largest, const Doubles& means) const {
    kernels::PlanePoolBackward first = maximum.inputs(b, largest),
                               second = average.inputs(b, means);
    first.dx = b.output_images("dx", maximum.p.n, maximum.before, maximum.accumulate);
    second.dx = first.dx;
    return b.call(
        maximum.gradient_products() + average.gradient_products(),
        [=](kernels::Stream stream) { kernels::plane_pools_backward<D>(first, second, stream); });
  }

 private:
  static kernels::PlanePool of_kind(kernels::PlanePool p, bool max) {
    p.max = max;
    return p;
  }
};

}  // namespace drnas::test
