// SPDX-License-Identifier: MIT
#include "kernels/planes/plane_mix.h"

#include "tests/kernels/planes/plane_inputs.h"
#include "tests/kernels/planes/plane_mix_reference.h"

using namespace drnas;
using namespace drnas::test;
using kernels::PlaneMix;
using kernels::PlaneMixBackward;
using kernels::PlaneSourceGradient;

namespace {

struct Results {
  Doubles y, dtheta;
  std::vector<Doubles> coefficients;
  bool operator==(const Results&) const = default;
};
constexpr double dtheta_start = 0.25;

Results run(std::mt19937_64& rng, const PlaneMixCase& c, bool want_theta) {
  Inputs inputs(rng);
  const PlaneMix p = c.call(inputs);
  Results out;
  PlaneBuffer y(rng, p.n, p.channels * p.pixels);
  kernels::plane_mix_forward<Device::cpu>(p, y, nullptr);
  out.y = y.doubles();
  PlaneMixBackward b{p, inputs.planes(p.n, c.dy), {}, nullptr};
  std::vector<std::unique_ptr<Guarded>> coefficients;
  for (int t = 0; t < p.terms; ++t) {
    coefficients.push_back(std::make_unique<Guarded>(3 * p.c));
    b.coefficients[t] = coefficients.back()->data();
  }
  out.dtheta.assign(c.theta.size(), dtheta_start);
  if (want_theta) b.dtheta = out.dtheta.data();
  Scratch scratch(kernels::plane_mix_backward_workspace<Device::cpu>(p));
  kernels::plane_mix_backward<Device::cpu>(b, scratch, nullptr);
  for (double& d : out.dtheta) d -= dtheta_start;
  for (const auto& array : coefficients) out.coefficients.push_back(array->doubles());
  return out;
}

void check(std::mt19937_64& rng, const PlaneMixCase& c) {
  CAPTURE(c.s.n);
  CAPTURE(c.s.c);
  CAPTURE(c.s.pixels);
  CAPTURE(c.parts);
  CAPTURE(c.terms.size());
  CAPTURE(c.sources.size());
  const Results got = run(rng, c, true);
  const double summands = static_cast<double>(c.terms.size() + c.sources.size());
  CHECK(roundings(got.y, c.forward()) <= 6 + summands);
  const PlaneMixCase::Gradients expected = c.backward();
  CHECK(roundings(got.dtheta, expected.theta) <= block_roundings);
  for (std::size_t t = 0; t < c.terms.size(); ++t)
    CHECK(roundings(assemble(c.s, got.coefficients[t], c.mixed_gradient(), c.terms[t].z),
                    expected.z[t]) <= block_roundings);
  Results alone = run(rng, c, false);
  CHECK(alone.dtheta == Doubles(c.theta.size(), 0.0));
  CHECK(alone.coefficients == got.coefficients);
}

}  // namespace

TEST_CASE("plane mix: forward and backward against float64") {
  auto rng = generator(511);
  for (const int parts : {1, 2, 3, 4, 6})
    for (const std::int64_t pixels : {1, 2, 5, 9, 16, 49, 63, 64, 100})
      check(rng, PlaneMixCase(rng, {pick(rng, {1, 2, 3}), pick(rng, {1, 2, 3, 6, 9, 24}), pixels},
                              parts, static_cast<int>(rng() % 8), static_cast<int>(rng() % 4)));
}

TEST_CASE("plane mix: many terms, many channels, large planes, nothing to mix") {
  auto rng = generator(512);
  check(rng, PlaneMixCase(rng, {2, 3, 20}, 2, PlaneMix::max_terms, PlaneMix::max_sources));
  check(rng, PlaneMixCase(rng, {1, 144, 4}, 1, 5, 2));
  check(rng, PlaneMixCase(rng, {1, 36, 9}, 4, 6, 2));
  check(rng, PlaneMixCase(rng, {2, 2, 1024 + 37}, 2, 7, 2));
  check(rng, PlaneMixCase(rng, {5, 3, 1}, 1, 9, 1));
  check(rng, PlaneMixCase(rng, {2, 3, 12}, 2, 0, 0));
  check(rng, PlaneMixCase(rng, {2, 3, 12}, 3, 0, 2));
}

TEST_CASE("plane mix: terms that share a mixing weight") {
  auto rng = generator(513);
  PlaneMixCase c(rng, {2, 4, 16}, 1, 6, 2);
  for (std::size_t t = 0; t < c.terms.size(); ++t) c.terms[t].theta = static_cast<int>(t / 3);
  c.sources[1].theta = 1;
  check(rng, c);
}

TEST_CASE("plane mix: the same bits whatever the number of threads") {
  auto rng = generator(514);
  const PlaneMixCase c(rng, {5, 6, 81}, 2, 5, 2);
  const auto with = [&](int count) {
    const Threads threads(count);
    return run(rng, c, true);
  };
  const Results one = with(1);
  CHECK(with(2) == one);
  CHECK(with(7) == one);
}

TEST_CASE("plane mix: the share of identities and bypasses in a state's gradient") {
  auto rng = generator(515);
  for (const int parts : {1, 2, 4, 6})
    for (const int edges : {0, 1, 3, 5, PlaneSourceGradient::max_edges})
      for (const bool accumulate : {false, true}) {
        const SourceGradientCase c(
            rng, {pick(rng, {1, 2}), pick(rng, {1, 3, 6}), pick(rng, {1, 7, 64, 1040})}, parts,
            edges, accumulate);
        CAPTURE(parts);
        CAPTURE(edges);
        CAPTURE(accumulate);
        Inputs inputs(rng);
        PlaneSourceGradient p = c.call(inputs);
        PlaneBuffer dx(rng, c.s.n, c.start_x()), dbypass(rng, c.s.n, c.start_bypass());
        p.dx = dx;
        if (parts > 1) p.dbypass = dbypass;
        kernels::plane_source_gradient<Device::cpu>(p, nullptr);
        const Doubles both = dx.doubles();
        CHECK(roundings(both, c.x()) <= 2 + edges);
        if (parts > 1) CHECK(roundings(dbypass.doubles(), c.bypass()) <= 2 + edges);

        PlaneBuffer again(rng, c.s.n, c.start_x());  // only one of the two is wanted
        p.dx = again;
        p.dbypass = {};
        kernels::plane_source_gradient<Device::cpu>(p, nullptr);
        CHECK(again.doubles() == both);
      }
}
