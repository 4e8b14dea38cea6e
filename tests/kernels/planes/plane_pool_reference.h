// SPDX-License-Identifier: MIT
// Pooling on planes in float64, and what both twins must do. `Run`: OnCpu or OnDevice.
#pragma once

#include "tests/cases/plane_pool.h"
#include "tests/kernels/planes/plane_norm_reference.h"

namespace drnas::test {

using kernels::PlanePool;

/// Calls body(output pixel, input pixels inside its window in row-major order).
template <class Body>
void each_window(const PlanePool& p, const Body& body) {
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
void each_share(const PlanePool& p, const Doubles& x, const Body& body) {
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

inline Bounded pooled(const PlanePoolCase& c) {
  Bounded y(output_shape(c.p).count());
  each_share(c.p, c.x, [&](int, int, std::int64_t to, std::int64_t from, double share) {
    y.add(to, share * c.x[from]);
  });
  return y;
}

inline Bounded input_gradient(const PlanePoolCase& c, const Doubles& pooled) {
  Bounded dp(output_shape(c.p).count()), dx(input_shape(c.p).count());
  for (const PlaneGradientCase& g : c.gradients) {
    const Bounded share = written_out(g, pooled);
    for (std::size_t i = 0; i < pooled.size(); ++i)
      dp.add(static_cast<std::int64_t>(i), share.value[i], share.magnitude[i]);
  }
  for (std::int64_t i = 0; i < input_shape(c.p).count() && c.accumulate; ++i)
    dx.add(i, c.before[i]);
  each_share(c.p, c.x, [&](int, int, std::int64_t from, std::int64_t to, double share) {
    dx.add(to, share * dp.value[from], share * dp.magnitude[from]);
  });
  return dx;
}

/// A random pool; every second one is of the first three forms.
inline PlanePool random_pool(Rng& rng, int i, bool max) {
  struct Form {
    int kernel, stride, padding;
  };
  static constexpr Form forms[] = {{3, 1, 1}, {3, 2, 1}, {2, 2, 0}, {3, 1, 0},
                                   {5, 3, 2}, {1, 2, 0}, {3, 3, 1}, {2, 1, 1}};
  const Form f = i % 2 ? forms[i / 2 % 3] : forms[i / 2 % 8];
  const int least = f.kernel - 2 * f.padding;
  const auto size = [&] { return std::max(least, pick(rng, {1, 2, 3, 4, 5, 7, 8, 9, 16, 33})); };
  const int n = pick(rng, {1, 2, 3}), c = pick(rng, {1, 2, 3, 6, 9}), h = size();
  return {n, c, h, size(), f.kernel, f.stride, f.padding, max};
}

/// Values with many ties.
inline Doubles few_values(Rng& rng, const PlanePool& p) {
  Doubles values(input_shape(p).count());
  for (double& v : values) v = pick(rng, {-1, 0, 0, 1, 2});
  return values;
}

template <class Run>
Doubles pool_forward(const Run& run, const PlanePoolCase& c) {
  return run([&](auto& b) { return c.forward(b); }).at("y");
}

template <class Run>
void check_pool_gradient(const Run& run, const PlanePoolCase& c) {
  const Doubles kept = rounded(pooled(c).value);
  const Results got = run([&](auto& b) { return c.backward(b, kept); });
  // Additions of a window's gradient into a pixel, weights and shares besides.
  CHECK(roundings(got.at("dx"), input_gradient(c, kept)) <=
        8 + 3 * static_cast<double>(c.gradients.size()) + c.p.kernel * c.p.kernel);
}

template <class Run>
void check_pool(const Run& run, Rng& rng, const PlanePool& p, const Doubles& x) {
  CAPTURE(p.n);
  CAPTURE(p.c);
  CAPTURE(p.h);
  CAPTURE(p.w);
  CAPTURE(p.kernel);
  CAPTURE(p.stride);
  CAPTURE(p.padding);
  CAPTURE(p.max);
  const PlanePoolCase c(rng, p, x, 0, false, false);
  const Doubles y = pool_forward(run, c);
  if (p.max)
    CHECK(y == pooled(c).value);
  else
    CHECK(roundings(y, pooled(c)) <= p.kernel * p.kernel + 1);
  const kernels::NormMode mode{true, 1e-3f, 0.3f};
  const Results got = run([&](auto& b) { return c.forward(b, mode); });
  CHECK(got.at("y") == y);
  check_statistics(output_shape(p), y, mode, got);
  for (const int edges : {1, 3})
    for (const bool accumulate : {false, true})
      check_pool_gradient(run, PlanePoolCase(rng, p, x, edges, rng() % 4 != 0, accumulate));
}

template <class Run>
void check_random_pools(Rng& rng) {
  for (int i = 0; i < 64; ++i) {
    const PlanePool p = random_pool(rng, i, i / 16 % 2 == 0);
    check_pool(Run::any_layout(rng), rng, p,
               i % 3 ? normals(rng, input_shape(p).count()) : few_values(rng, p));
  }
}

/// Both pools in one call give the bits of two calls.
template <class Run>
void check_pools_together(const Run& run, Rng& rng, const PlanePool& p) {
  CAPTURE(p.h);
  CAPTURE(p.w);
  CAPTURE(p.kernel);
  CAPTURE(p.stride);
  const Doubles x = normals(rng, input_shape(p).count());
  for (const bool training : {true, false}) {
    const PlanePoolsCase c(rng, p, x, training);
    const kernels::NormMode mode{training, 1e-3f, 0.3f};
    const Results both = run([&](auto& b) { return c.forward(b, mode); });
    for (const PlanePoolCase* one : {&c.maximum, &c.average})
      for (const auto& [name, values] : run([&](auto& b) { return one->forward(b, mode); }))
        CHECK(both.at((one->p.max ? "max " : "average ") + name) == values);
    PlanePoolCase second = c.average;
    second.before = run([&](auto& b) { return c.maximum.backward(b, both.at("max y")); }).at("dx");
    CHECK(run([&](auto& b) {
            return c.backward(b, both.at("max y"), both.at("average y"));
          }).at("dx") ==
          run([&](auto& b) { return second.backward(b, both.at("average y")); }).at("dx"));
  }
}

template <class Run>
void check_pools_together(Rng& rng) {
  for (int i = 0; i < 12; ++i)
    check_pools_together(Run::any_layout(rng), rng, random_pool(rng, i, true));
  check_pools_together(Run::any_layout(rng), rng, {70, 2, 32, 32, 3, 1, 1, true});
}

template <class Run>
void check_numbers_of_edges(Rng& rng) {
  for (const int edges : {0, kernels::PlanePoolBackward::max_edges}) {
    const PlanePool p{2, 3, 8, 9, 3, 1, 1, edges == 0};
    const Doubles x = normals(rng, input_shape(p).count());
    check_pool_gradient(Run::any_layout(rng), PlanePoolCase(rng, p, x, edges, true, false));
  }
}

template <class Run>
void check_pool_evaluation(Rng& rng) {
  const PlanePool p{2, 3, 4, 5, 3, 2, 1, true};
  const PlanePoolCase c(rng, p, normals(rng, input_shape(p).count()), 1, false, false);
  check_evaluation(Run::any_layout(rng), p.c, [&](auto& b) {
    return c.forward(b, kernels::NormMode{false, 0.25f, 0.1f});
  });
}

template <Device D>
void check_refused_pools() {
  for (const PlanePool& p :
       {PlanePool{1, 1, 4, 4, 0, 1, 0, true}, PlanePool{1, 1, 4, 4, 3, 0, 1, true},
        PlanePool{1, 1, 4, 4, 3, 1, 2, true}, PlanePool{1, 1, 4, 4, 65, 1, 32, true},
        PlanePool{1, 1, 1, 4, 3, 1, 0, false}})
    CHECK_THROWS_AS(kernels::plane_pool_forward<D>(p, {}, {}, {}, {}, nullptr, nullptr), Error);
}

}  // namespace drnas::test
