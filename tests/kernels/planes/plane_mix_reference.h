// SPDX-License-Identifier: MIT
// Node mixes on planes in float64, and what both twins must do. `Run`: OnCpu or OnDevice.
#pragma once

#include "tests/cases/plane_mix.h"
#include "tests/kernels/planes/plane_reference.h"

namespace drnas::test {

/// What multiplies value i, of [n, c, pixels], of an identity: by the definition of the draw.
inline double skip_factor(const SkipDropoutCase& d, std::size_t source, std::int64_t i,
                          std::int64_t pixels) {
  if (!d.active()) return 1;
  const std::int64_t plane = i / pixels, pixel = i % pixels, blocks = (pixels + 3) / 4;
  const kernels::PhiloxWords words =
      kernels::RandomStream(d.seed, kernels::Purpose::skip_dropout)
          .words(d.step, static_cast<std::uint32_t>(plane * blocks + pixel / 4),
                 static_cast<std::uint32_t>(SkipDropoutCase::skip(source)));
  const double u = std::ldexp(static_cast<double>(words.word[pixel % 4] >> 8), -24);
  return u < double{d.probability} ? 0 : 1 / (1 - double{d.probability});
}

inline Bounded mixed(const PlaneMixCase& c) {
  Bounded y(c.whole().count());
  c.s.each([&](int image, int ch, std::int64_t i) {
    const std::int64_t to = c.whole().at(image, ch * c.parts, i % c.s.pixels);
    for (const PlaneMixCase::Term& t : c.terms) {
      const double scale = c.theta[t.theta] * t.inv_std[ch];
      y.add(to, scale * (t.z[i] - t.mean[ch]), scale * (std::abs(t.z[i]) + std::abs(t.mean[ch])));
    }
    for (std::size_t s = 0; s < c.sources.size(); ++s)
      if (const PlaneMixCase::Source& source = c.sources[s]; source.theta >= 0)
        y.add(to, c.theta[source.theta] * source.x[i] * skip_factor(c.dropout, s, i, c.s.pixels));
  });
  const PlaneShape bypassed{c.s.n, c.s.c * (c.parts - 1), c.s.pixels};
  for (const PlaneMixCase::Source& source : c.sources)
    bypassed.each([&](int image, int ch, std::int64_t i) {
      const int shuffled = ch % c.s.c * c.parts + 1 + ch / c.s.c;
      y.add(c.whole().at(image, shuffled, i % c.s.pixels), source.bypass[i]);
    });
  return y;
}

struct PlaneMixGradients {
  Doubles dy;  ///< of the mixed channels
  Bounded theta;
  std::vector<Bounded> z;

  explicit PlaneMixGradients(const PlaneMixCase& c)
      : dy(c.s.count()), theta(static_cast<std::int64_t>(c.theta.size())) {
    c.s.each([&](int image, int ch, std::int64_t i) {
      dy[i] = c.dy[c.whole().at(image, ch * c.parts, i % c.s.pixels)];
    });
    for (const PlaneMixCase::Term& t : c.terms) {
      NormGradient norm(c.s, t.z, t.mean, t.inv_std, Doubles(c.s.c, c.theta[t.theta]), dy);
      for (int ch = 0; ch < c.s.c; ++ch)
        theta.add(t.theta, norm.product.value[ch], norm.product.magnitude[ch]);
      z.push_back(std::move(norm.dz));
    }
    for (std::size_t s = 0; s < c.sources.size(); ++s)
      for (std::int64_t i = 0; i < c.s.count() && c.sources[s].theta >= 0; ++i)
        theta.add(c.sources[s].theta,
                  dy[i] * c.sources[s].x[i] * skip_factor(c.dropout, s, i, c.s.pixels));
  }
};

/// Channels [first, end) of (mixed, bypassed) of a state's gradient.
inline Bounded source_gradient(const SourceGradientCase& c, int first, int end,
                               const Doubles& before) {
  const PlaneShape to{c.s.n, end - first, c.s.pixels}, from{c.s.n, c.s.c * c.parts, c.s.pixels};
  Bounded d(to.count());
  to.each([&](int image, int k, std::int64_t i) {
    const int ch = first + k;
    if (c.accumulate) d.add(i, before[i]);
    for (std::size_t e = 0; e < c.dy.size(); ++e) {
      if (ch < c.s.c && c.skip[e] < 0) continue;
      const double weight =
          ch < c.s.c ? c.theta[c.skip[e]] * skip_factor(c.dropout, e, i, c.s.pixels) : 1.0;
      d.add(i, weight * c.dy[e][from.at(image, ch % c.s.c * c.parts + ch / c.s.c, i % c.s.pixels)]);
    }
  });
  return d;
}

template <class Run>
void check_mix(const Run& run, const PlaneMixCase& c) {
  CAPTURE(c.s.n);
  CAPTURE(c.s.c);
  CAPTURE(c.s.pixels);
  CAPTURE(c.parts);
  CAPTURE(c.terms.size());
  CAPTURE(c.sources.size());
  const Results forward = run([&](auto& b) { return c.forward(b); });
  const double summands = static_cast<double>(c.terms.size() + c.sources.size());
  const double of_dropout = c.dropout.active() ? 4 : 0;  // 1 - p, its inverse, two products
  CHECK(roundings(forward.at("y"), mixed(c)) <= 6 + summands + of_dropout);
  const auto backward = [&](auto& b) { return c.backward(b); };
  const Results got = run(backward);
  const Results twin = OnCpu{}(backward);
  const Results alone = run([&](auto& b) { return c.backward(b, false); });
  const PlaneMixGradients expected(c);
  for (std::size_t t = 0; t < c.terms.size(); ++t) {
    const std::string name = "coefficients " + std::to_string(t);
    CHECK(roundings(assemble(c.s, got.at(name), expected.dy, c.terms[t].z), expected.z[t]) <=
          run.sum_roundings);
    CHECK(max_error(got.at(name), twin.at(name)) <= 1e-5);
    CHECK(alone.at(name) == got.at(name));
  }
  Doubles dtheta = got.at("dtheta");
  for (double& d : dtheta) d -= c.dtheta_start;
  CHECK(roundings(dtheta, expected.theta) <= run.sum_roundings);
  CHECK(alone.at("dtheta") == Doubles(c.theta.size(), c.dtheta_start));
}

template <class Run>
void check_shared_weights(Rng& rng) {
  PlaneMixCase c(rng, {2, 4, 16}, 1, 6, 2);
  for (std::size_t t = 0; t < c.terms.size(); ++t) c.terms[t].theta = static_cast<int>(t / 3);
  c.sources[1].theta = 1;
  check_mix(Run::any_layout(rng), c);
}

/// Mixes whose identities are dropped: planes of whole and of broken blocks of the draw, and a
/// probability of zero, which drops nothing.
template <class Run>
void check_dropped_mixes(Rng& rng, std::initializer_list<std::int64_t> sizes) {
  for (const int parts : {1, 2})
    for (const std::int64_t pixels : sizes) {
      const PlaneShape s{pick(rng, {1, 2, 3}), pick(rng, {1, 2, 3, 6}), pixels};
      PlaneMixCase c(rng, s, parts, static_cast<int>(rng() % 4), 1 + static_cast<int>(rng() % 4));
      c.dropout = {0.1f * static_cast<float>(pick(rng, {0, 1, 4, 7})),
                   static_cast<std::uint32_t>(rng()), rng()};
      CAPTURE(c.dropout.probability);
      check_mix(Run::any_layout(rng), c);
    }
}

template <class Run>
void check_source_gradients(Rng& rng, SkipDropoutCase dropout = {}) {
  for (const int parts : {1, 2, 4, 6})
    for (const int edges : {0, 1, 3, 5, kernels::PlaneSourceGradient::max_edges})
      for (const bool accumulate : {false, true}) {
        const PlaneShape s{pick(rng, {1, 2}), pick(rng, {1, 3, 6}),
                           pick(rng, {1, 7, 64, 66, 1040})};
        SourceGradientCase c(rng, s, parts, edges, accumulate);
        c.dropout = dropout;
        CAPTURE(parts);
        CAPTURE(edges);
        CAPTURE(accumulate);
        const Run run = Run::any_layout(rng);
        const Results got = run([&](auto& b) { return c.gradient(b); });
        const Results alone = run([&](auto& b) { return c.gradient(b, false); });
        CHECK(roundings(got.at("dx"), source_gradient(c, 0, s.c, c.before_x)) <=
              2 + edges + (dropout.active() ? 4 : 0));
        if (parts > 1)
          CHECK(roundings(got.at("dbypass"),
                          source_gradient(c, s.c, s.c * parts, c.before_bypass)) <= 2 + edges);
        CHECK(alone.at("dx") == got.at("dx"));
      }
}

}  // namespace drnas::test
