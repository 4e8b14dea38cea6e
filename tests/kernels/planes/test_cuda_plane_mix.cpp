// SPDX-License-Identifier: MIT
// Node mixes on planes: CUDA sources against float64 and the CPU twins.
#include "tests/kernels/planes/plane_arrays.h"
#include "tests/kernels/planes/plane_mix_reference.h"

using namespace drnas;
using namespace drnas::test;
using kernels::PlaneMix;
using kernels::PlaneMixBackward;
using kernels::PlaneSourceGradient;

namespace {

constexpr double dtheta_start = 0.25;

/// Results: y, coefficients term by term, dtheta.
auto mix_call(const PlaneMixCase& c, bool want_theta) {
  return [&c, want_theta]<Device D>(PlaneArrays<D>& a) {
    ArrayInputs<D> inputs{a};
    PlaneMix p = c.call(inputs);
    p.theta = a.keep(c.theta);
    kernels::plane_mix_forward<D>(p, a.output(p.n, nans(c.whole().count())), nullptr);
    PlaneMixBackward b{p, inputs.planes(p.n, c.dy), {}, nullptr};
    for (int t = 0; t < p.terms; ++t)
      b.coefficients[t] = a.output(std::vector<float>(3 * p.c, NAN));
    double* dtheta = a.output(Doubles(c.theta.size(), dtheta_start));
    if (want_theta) b.dtheta = dtheta;
    kernels::plane_mix_backward<D>(b, a.bytes(kernels::plane_mix_backward_workspace<D>(p)),
                                   nullptr);
  };
}

void check(const PlaneMixCase& c, int spoil = 0) {
  CAPTURE(c.s.n);
  CAPTURE(c.s.c);
  CAPTURE(c.s.pixels);
  CAPTURE(c.parts);
  CAPTURE(c.terms.size());
  CAPTURE(c.sources.size());
  const Doubles all = on_device(spoil, mix_call(c, true)), twin = on_cpu(mix_call(c, true));
  Parts got(all), cpu(twin);
  const double summands = static_cast<double>(c.terms.size() + c.sources.size());
  CHECK(roundings(got.take(c.whole().count()), c.forward()) <= 6 + summands);
  cpu.take(c.whole().count());
  const PlaneMixCase::Gradients expected = c.backward();
  for (std::size_t t = 0; t < c.terms.size(); ++t) {
    const Doubles coefficients = got.take(3 * c.s.c);
    CHECK(roundings(assemble(c.s, coefficients, c.mixed_gradient(), c.terms[t].z), expected.z[t]) <=
          device_sum_roundings);
    CHECK(max_error(coefficients, cpu.take(3 * c.s.c)) <= 1e-5);
  }
  Doubles dtheta = got.take(static_cast<std::int64_t>(c.theta.size()));
  for (double& d : dtheta) d -= dtheta_start;
  CHECK(roundings(dtheta, expected.theta) <= device_sum_roundings);

  Parts alone(on_device(spoil, mix_call(c, false)));
  const std::int64_t rest = static_cast<std::int64_t>(all.size() - c.theta.size());
  CHECK(alone.take(rest) == Doubles(all.begin(), all.begin() + rest));
  CHECK(alone.take(static_cast<std::int64_t>(c.theta.size())) ==
        Doubles(c.theta.size(), dtheta_start));
}

}  // namespace

TEST_CASE("cuda: plane mix against float64") {
  auto rng = generator(551);
  for (const int parts : {1, 2, 3, 4, 6})
    for (const std::int64_t pixels : {1, 2, 9, 16, 49, 64, 90})
      check(PlaneMixCase(rng, {pick(rng, {1, 2, 3}), pick(rng, {1, 2, 3, 6, 9}), pixels}, parts,
                         static_cast<int>(rng() % 6), static_cast<int>(rng() % 4)),
            pick(rng, {0, 0, 1, 2}));
}

TEST_CASE("cuda: plane mix of many terms, many channels, large planes, nothing to mix") {
  auto rng = generator(552);
  check(PlaneMixCase(rng, {2, 3, 20}, 2, PlaneMix::max_terms, PlaneMix::max_sources));
  check(PlaneMixCase(rng, {3, 40, 2}, 1, PlaneMix::max_terms, 1));
  check(PlaneMixCase(rng, {1, 144, 4}, 1, 5, 2));
  check(PlaneMixCase(rng, {2, 2, 1024 + 36}, 2, 3, 2));
  check(PlaneMixCase(rng, {5, 3, 1}, 1, 9, 1));
  check(PlaneMixCase(rng, {2, 3, 12}, 2, 0, 0));
  check(PlaneMixCase(rng, {2, 3, 12}, 3, 0, 2));
}

TEST_CASE("cuda: plane mix with several vectors a thread, and with more tiles than blocks") {
  auto rng = generator(553);
  check(PlaneMixCase(rng, {17, 16, 4096}, 1, 1, 1));
  check(PlaneMixCase(rng, {3, 90, 1003}, 1, 2, 0));
  check(PlaneMixCase(rng, {70, 1, 1001}, 1, 2, 1));
}

TEST_CASE("cuda: plane mix, terms and sources that share a mixing weight") {
  auto rng = generator(554);
  PlaneMixCase c(rng, {2, 4, 16}, 1, 6, 2);
  for (std::size_t t = 0; t < c.terms.size(); ++t) c.terms[t].theta = static_cast<int>(t / 3);
  c.sources[1].theta = 1;
  check(c);
}

TEST_CASE("cuda: the share of identities and bypasses in a state's gradient") {
  auto rng = generator(555);
  for (const int parts : {1, 2, 4, 6})
    for (const int edges : {0, 1, 3, PlaneSourceGradient::max_edges})
      for (const bool accumulate : {false, true}) {
        const SourceGradientCase c(
            rng, {pick(rng, {1, 2}), pick(rng, {1, 3, 6}), pick(rng, {1, 7, 64, 66, 1040})}, parts,
            edges, accumulate);
        CAPTURE(parts);
        CAPTURE(edges);
        CAPTURE(accumulate);
        const auto call = [&](bool bypass) {
          return [&c, bypass]<Device D>(PlaneArrays<D>& a) {
            ArrayInputs<D> inputs{a};
            PlaneSourceGradient p = c.call(inputs);
            p.theta = a.keep(c.theta);
            p.dx = a.output(c.s.n, c.start_x());
            const kernels::Planes to = a.output(c.s.n, c.start_bypass());
            if (bypass) p.dbypass = to;
            kernels::plane_source_gradient<D>(p, nullptr);
          };
        };
        const int spoil = pick(rng, {0, 0, 1, 2});
        Parts got(on_device(spoil, call(true)));
        const Doubles dx = got.take(c.s.count());
        CHECK(roundings(dx, c.x()) <= 2 + edges);
        CHECK(roundings(got.take(c.s.count() * (parts - 1)), c.bypass()) <= 2 + edges);
        CHECK(Parts(on_device(spoil, call(false))).take(c.s.count()) == dx);
      }
}
