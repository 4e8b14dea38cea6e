// SPDX-License-Identifier: MIT
#include "kernels/bundle/node_mix.h"

#include <array>
#include <memory>

#include "tests/kernels/bundle/node_reference.h"

using namespace drnas;
using namespace drnas::test;
using kernels::NodeMix;
using kernels::NodeMixBackward;

namespace {

/// A random mix: its float64 form and float32 copies that the kernels read, raw outputs as views
/// among NaNs.
struct Case {
  MixReference reference;
  Doubles dy;
  std::vector<std::unique_ptr<Guarded>> buffers;
  NodeMix mix{};

  Case(std::mt19937_64& rng, const Images& g, int terms, int sources) : reference{g, {}, {}, {}} {
    mix = {g.n, g.h, g.w, g.c, g.channels, terms, sources, {}, {}, nullptr};
    std::uniform_real_distribution<double> uniform(0.0, 1.0);
    for (int t = 0; t < terms; ++t) add_term(rng, t, 0.5 + uniform(rng));
    for (int s = 0; s < sources; ++s) add_source(rng, s);
    for (int i = 0; i < 3 * (terms + sources); ++i) reference.theta.push_back(uniform(rng));
    mix.theta = reference.theta.data();
    dy = normals(rng, g.count());
  }

  float* keep(const Doubles& values) {
    buffers.push_back(std::make_unique<Guarded>(values));
    return buffers.back()->data();
  }

 private:
  void add_term(std::mt19937_64& rng, int t, double scale) {
    const Images& g = reference.g;
    MixTerm term{normals(rng, g.pixels() * g.c, scale), {}, {}, 2 * t + 1};
    const double offset = static_cast<float>(normals(rng, 1)[0]);
    for (double& z : term.z) z = static_cast<float>(z + offset);
    const Moments moments(term.z, g.c);
    for (int ch = 0; ch < g.c; ++ch) {
      term.mean.push_back(static_cast<float>(moments.mean[ch]));
      term.inv_std.push_back(static_cast<float>(1.0 / std::sqrt(moments.var[ch] + 1e-5)));
    }
    const int edges = pick(rng, {1, 2, 3}), edge = static_cast<int>(rng() % edges),
              stride = (edges * g.c + 7) / 8 * 8;
    Doubles view(g.pixels() * stride, NAN);
    for (std::int64_t i = 0; i < g.pixels() * g.c; ++i)
      view[i / g.c * stride + edge * g.c + i % g.c] = term.z[i];
    mix.term[t] = {keep(view) + edge * g.c, stride, keep(term.mean), keep(term.inv_std),
                   term.theta};
    reference.terms.push_back(std::move(term));
  }
  void add_source(std::mt19937_64& rng, int s) {
    const int theta = 2 * mix.terms + 2 * s;
    MixSource source{normals(rng, reference.g.count()), rng() % 4 ? theta + 1 : -1,
                     rng() % 4 ? theta + 2 : -1};
    mix.source[s] = {keep(source.x), source.skip_theta, source.pool_theta};
    reference.sources.push_back(std::move(source));
  }
};

std::vector<float> forward(const Case& c) {
  Guarded y(c.reference.g.count()),
      scratch(exact_floats(kernels::node_mix_workspace<Device::cpu>(c.mix)));
  kernels::node_mix_forward<Device::cpu>(c.mix, y, scratch.data(), nullptr);
  return y.floats();
}

struct Backward {
  std::vector<float> coefficients;
  Doubles dtheta;
  bool operator==(const Backward&) const = default;
};

constexpr double dtheta_start = 0.25;

Backward backward(Case& c, bool want_theta = true) {
  const std::int64_t size = 3 * c.mix.c;
  Guarded dy(c.dy), coefficients(c.mix.terms * size);
  Backward out;
  out.dtheta.assign(c.reference.theta.size(), dtheta_start);
  NodeMixBackward b{c.mix, dy, {}, want_theta ? out.dtheta.data() : nullptr};
  for (int t = 0; t < c.mix.terms; ++t) b.coefficients[t] = coefficients.data() + t * size;
  Guarded scratch(exact_floats(kernels::node_mix_backward_workspace<Device::cpu>(c.mix)));
  kernels::node_mix_backward<Device::cpu>(b, scratch.data(), nullptr);
  out.coefficients = coefficients.floats();
  return out;
}

/// dz = A dy + B z + C in float64 from the coefficients of one term.
Doubles assemble(const Case& c, const float* a, const MixTerm& term) {
  const Images& g = c.reference.g;
  Doubles dz(g.pixels() * g.c);
  for (std::int64_t i = 0; i < g.pixels() * g.c; ++i) {
    const int ch = static_cast<int>(i % g.c);
    dz[i] = double{a[ch]} * c.dy[i / g.c * g.channels + g.shuffled(ch)] +
            double{a[g.c + ch]} * term.z[i] + a[2 * g.c + ch];
  }
  return dz;
}

void check(Case& c) {
  const Images& g = c.reference.g;
  CAPTURE(g.n);
  CAPTURE(g.h);
  CAPTURE(g.w);
  CAPTURE(g.c);
  CAPTURE(g.parts());
  CAPTURE(c.mix.terms);
  CAPTURE(c.mix.sources);
  const std::vector<float> y = forward(c);
  // Offset and weights take 4 roundings a term, the pool 8 more, then one addition a summand.
  CHECK(roundings(Doubles(y.begin(), y.end()), c.reference.forward()) <=
        14 + 2 * c.mix.terms + 2 * c.mix.sources);

  const MixReference::Gradients d = c.reference.backward(c.dy);
  const Backward b = backward(c);
  Doubles added = b.dtheta;
  for (double& v : added) v -= dtheta_start;
  // Float32 along a row (and over the channels of one, where a weight has no channel), float64 from
  // there on.
  CHECK(roundings(added, d.theta) <= 12 + g.w + g.c);
  for (int t = 0; t < c.mix.terms; ++t)
    CHECK(roundings(
              assemble(c, b.coefficients.data() + std::int64_t{3} * t * g.c, c.reference.terms[t]),
              d.z[t]) <= 8 + g.w);
  CHECK(backward(c, false).coefficients == b.coefficients);
}

}  // namespace

TEST_CASE("node mix: forward and backward against float64") {
  auto rng = generator(51);
  for (const int parts : {1, 2, 4, 8})
    for (const int channels : {2, 3, 4, 6, 8, 16})
      for (int trial = 0; trial < 4; ++trial) {
        const Images g{pick(rng, {1, 2, 3, 5}), pick(rng, {1, 2, 3, 5, 7}),
                       pick(rng, {1, 2, 3, 5, 8, 9}), channels, channels * parts};
        Case c(rng, g, static_cast<int>(rng() % 5), 1 + static_cast<int>(rng() % 3));
        check(c);
      }
}

TEST_CASE("node mix: the extreme shapes") {
  auto rng = generator(52);
  for (const Images& g :
       {Images{1, 1, 1, 3, 3}, Images{1, 1, 1, 8, 16}, Images{2, 1, 9, 4, 8}, Images{3, 9, 1, 6, 6},
        Images{5, 13, 13, 1, 4}, Images{2, 3, 3, 48, 48}}) {
    Case few(rng, g, 0, 1), many(rng, g, NodeMix::max_terms, NodeMix::max_sources);
    check(few);
    check(many);
  }
}

TEST_CASE("node mix: repeats bit by bit with any thread count") {
  auto rng = generator(53);
  for (const Images& g : {Images{5, 7, 9, 16, 64}, Images{3, 8, 8, 8, 8}, Images{1, 5, 5, 3, 6}}) {
    Case c(rng, g, 4, 2);
    std::vector<float> y;
    Backward b;
    {
      const Threads one(1);
      y = forward(c);
      b = backward(c);
    }
    for (int threads = 1; threads <= 3; ++threads) {
      const Threads more(threads);
      CHECK(forward(c) == y);
      CHECK(backward(c) == b);
    }
  }
}
