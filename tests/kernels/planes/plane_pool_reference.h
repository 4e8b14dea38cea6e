// SPDX-License-Identifier: MIT
// Pooling on planes in float64, and a gradient behind batch normalisation.
#pragma once

#include <optional>

#include "kernels/planes/plane_pool.h"
#include "tests/kernels/planes/plane_reference.h"

namespace drnas::test {

inline PlaneShape input_shape(const kernels::PlanePool& p) {
  return {p.n, p.c, std::int64_t{p.h} * p.w};
}
inline PlaneShape output_shape(const kernels::PlanePool& p) {
  return {p.n, p.c, std::int64_t{p.out_h()} * p.out_w()};
}

/// Calls body(output pixel, input pixels inside its window in row-major order).
template <class Body>
void each_window(const kernels::PlanePool& p, const Body& body) {
  for (int i = 0; i < p.out_h(); ++i)
    for (int j = 0; j < p.out_w(); ++j) {
      std::vector<std::int64_t> seen;
      for (int a = 0; a < p.kernel; ++a)
        for (int b = 0; b < p.kernel; ++b) {
          const int r = i * p.stride - p.padding + a, q = j * p.stride - p.padding + b;
          if (r >= 0 && r < p.h && q >= 0 && q < p.w) seen.push_back(std::int64_t{r} * p.w + q);
        }
      body(std::int64_t{i} * p.out_w() + j, seen);
    }
}

/// Calls body(image, channel, output index, input index, share): output = sum of share * input, for
/// this x.
template <class Body>
void each_share(const kernels::PlanePool& p, const Doubles& x, const Body& body) {
  const PlaneShape in = input_shape(p), out = output_shape(p);
  each_window(p, [&](std::int64_t to, const std::vector<std::int64_t>& seen) {
    for (int image = 0; image < p.n; ++image)
      for (int ch = 0; ch < p.c; ++ch) {
        const auto value = [&](std::int64_t q) { return x[in.at(image, ch, q)]; };
        std::int64_t first = seen[0];
        for (const std::int64_t q : seen) {
          if (value(q) > value(first)) first = q;
          if (!p.max)
            body(image, ch, out.at(image, ch, to), in.at(image, ch, q),
                 1.0 / static_cast<double>(seen.size()));
        }
        if (p.max) body(image, ch, out.at(image, ch, to), in.at(image, ch, first), 1.0);
      }
  });
}

inline Bounded pool(const kernels::PlanePool& p, const Doubles& x) {
  Bounded y(output_shape(p).count());
  each_share(p, x, [&](int, int, std::int64_t to, std::int64_t from, double share) {
    y.add(to, share * x[from]);
  });
  return y;
}

/// A gradient of planes [n, c, pixels]: every `step`-th plane of g, and coefficients or none.
struct GradientCase {
  PlaneShape s;
  int step;
  Doubles g, coefficients;

  GradientCase(std::mt19937_64& rng, const PlaneShape& shape, int step, bool normalised)
      : s(shape), step(step), g(normals(rng, s.count() * step)) {
    if (normalised) coefficients = normals(rng, 3 * s.c);
  }
  template <class Inputs>
  kernels::PlaneGradient call(Inputs& inputs) const {
    return {inputs.planes(s.n, g), step,
            coefficients.empty() ? nullptr : inputs.array(coefficients)};
  }
  /// Adds A g + B z + C to d.
  void add_to(Bounded& d, const Doubles& z) const {
    const PlaneShape whole{s.n, s.c * step, s.pixels};
    s.each([&](int image, int ch, std::int64_t i) {
      const double from = g[whole.at(image, ch * step, i % s.pixels)];
      d.add(i, coefficients.empty() ? from : coefficients[ch] * from);
      if (coefficients.empty()) return;
      d.add(i, coefficients[s.c + ch] * z[i]);
      d.add(i, coefficients[2 * s.c + ch]);
    });
  }
};

/// A random backward pass of a pool.
struct PoolGradientCase {
  kernels::PlanePool p;
  Doubles x, pooled, before;
  std::vector<GradientCase> gradients;
  bool accumulate;

  PoolGradientCase(std::mt19937_64& rng, const kernels::PlanePool& pool_, const Doubles& input,
                   int edges, bool normalised, bool accumulate)
      : p(pool_),
        x(input),
        pooled(rounded(pool(p, x).value)),
        before(normals(rng, input_shape(p).count())),
        accumulate(accumulate) {
    for (int e = 0; e < edges; ++e)
      gradients.emplace_back(rng, output_shape(p), pick(rng, {1, 1, 2, 4}),
                             normalised && (e == 0 || rng() % 3));
  }
  bool normalised() const {
    for (const GradientCase& g : gradients)
      if (!g.coefficients.empty()) return true;
    return false;
  }
  /// dx is the caller's.
  template <class Inputs>
  kernels::PlanePoolBackward call(Inputs& inputs) const {
    kernels::PlanePoolBackward b{};
    b.pool = p;
    if (p.max) b.x = inputs.planes(p.n, x);
    if (normalised()) b.pooled = inputs.planes(p.n, pooled);
    for (const GradientCase& g : gradients) b.gradient[b.edges++] = g.call(inputs);
    b.accumulate = accumulate;
    return b;
  }
  Doubles start() const { return accumulate ? before : Doubles(before.size(), NAN); }
  Bounded gradient() const {
    Bounded dp(output_shape(p).count()), dx(input_shape(p).count());
    for (const GradientCase& g : gradients) g.add_to(dp, pooled);
    for (std::int64_t i = 0; i < input_shape(p).count() && accumulate; ++i) dx.add(i, before[i]);
    each_share(p, x, [&](int, int, std::int64_t from, std::int64_t to, double share) {
      dx.add(to, share * dp.value[from], share * dp.magnitude[from]);
    });
    return dx;
  }
};

/// Kernel, stride, padding.
struct PoolForm {
  int kernel, stride, padding;
};
inline constexpr PoolForm pool_forms[] = {{3, 1, 1}, {3, 2, 1}, {2, 2, 0}, {3, 1, 0},
                                          {5, 3, 2}, {1, 2, 0}, {3, 3, 1}, {2, 1, 1}};

/// A random pool; every second one is of the first three forms.
inline kernels::PlanePool random_pool(std::mt19937_64& rng, int i, bool max) {
  const PoolForm f = i % 2 ? pool_forms[i / 2 % 3] : pool_forms[i / 2 % 8];
  const int least = f.kernel - 2 * f.padding;
  const auto size = [&] { return std::max(least, pick(rng, {1, 2, 3, 4, 5, 7, 8, 9, 16, 33})); };
  return {pick(rng, {1, 2, 3}),
          pick(rng, {1, 2, 3, 6, 9}),
          size(),
          size(),
          f.kernel,
          f.stride,
          f.padding,
          max};
}

/// Values with many ties.
inline Doubles few_values(std::mt19937_64& rng, std::int64_t count) {
  Doubles values(count);
  for (double& v : values) v = pick(rng, {-1, 0, 0, 1, 2});
  return values;
}

}  // namespace drnas::test
