// SPDX-License-Identifier: MIT
#include "kernels/planes/plane_norm.h"

#include "tests/kernels/planes/plane_inputs.h"
#include "tests/kernels/planes/plane_norm_reference.h"
#include "tests/kernels/planes/plane_pool_reference.h"

using namespace drnas;
using namespace drnas::test;
using kernels::NormMode;
using kernels::PlaneNorm;
using kernels::PlaneNormBackward;

namespace {

constexpr std::int64_t sizes[] = {1, 2, 5, 9, 16, 49, 64, 100, 1024, 1063};

struct Gradients {
  Doubles coefficients, dgamma, dbeta, dx;
  bool operator==(const Gradients&) const = default;
};

Gradients backward(std::mt19937_64& rng, const PlaneNormCase& c, bool accumulate) {
  Inputs inputs(rng);
  Guarded coefficients(3 * c.s.c), dgamma(c.s.c), dbeta(c.s.c);
  PlaneBuffer dx(rng, c.s.n, accumulate ? c.before : Doubles(c.before.size(), NAN));
  const PlaneNormBackward b{
      c.call(inputs), inputs.planes(c.s.n, c.dy), coefficients, dgamma, dbeta, dx, accumulate};
  Scratch scratch(kernels::plane_norm_backward_workspace<Device::cpu>(b.apply.shape));
  kernels::plane_norm_backward<Device::cpu>(b, scratch, nullptr);
  return {coefficients.doubles(), dgamma.doubles(), dbeta.doubles(), dx.doubles()};
}

}  // namespace

TEST_CASE("plane norm: statistics of means far from zero, whatever the number of threads") {
  auto rng = generator(531);
  const NormMode mode{true, 1e-5f, 0.1f};
  for (const std::int64_t pixels : sizes)
    for (const double offset : {0.0, 3.0, 1000.0}) {
      const PlaneShape s{pick(rng, {1, 2, 5}), pick(rng, {1, 3, 7}), pixels};
      CAPTURE(s.n);
      CAPTURE(pixels);
      CAPTURE(offset);
      Doubles x = normals(rng, s.count());
      for (double& v : x) v = static_cast<float>(v + offset);
      for (const int count : {1, 2, 5}) {
        const Threads threads(count);
        PlaneBuffer in(rng, s.n, x);
        StatisticsBuffer statistics(s.c), batch(s.c);
        const PlaneNorm p{s.n, s.c, pixels};
        Scratch scratch(kernels::plane_norm_workspace<Device::cpu>(p));
        kernels::plane_moments<Device::cpu>(p, in, statistics.all(), mode, scratch, nullptr);
        check_statistics(s, x, mode, statistics);
        kernels::plane_moments<Device::cpu>(p, in, batch.batch(), mode, scratch, nullptr);
        CHECK(batch.mean.floats() == statistics.mean.floats());
        CHECK(batch.inv_std.floats() == statistics.inv_std.floats());
      }
    }
}

TEST_CASE("plane norm: evaluation takes the running statistics and leaves them alone") {
  auto rng = generator(532);
  const PlaneNorm p{2, 3, 4};
  PlaneBuffer in(rng, 2, normals(rng, 24));
  StatisticsBuffer statistics(3);
  kernels::plane_moments<Device::cpu>(p, in, statistics.all(), {false, 0.25f, 0.1f}, nullptr,
                                      nullptr);
  CHECK(statistics.mean.doubles() == Doubles(3, 0.5));
  CHECK(max_error(statistics.inv_std.doubles(), Doubles(3, 1 / 1.5)) < float_epsilon);
  CHECK(statistics.running_mean.doubles() == Doubles(3, 0.5));
  CHECK(statistics.running_var.doubles() == Doubles(3, 2.0));
  CHECK_THROWS_AS(kernels::plane_moments<Device::cpu>(p, in, statistics.batch(),
                                                      {false, 0.25f, 0.1f}, nullptr, nullptr),
                  Error);
}

TEST_CASE("plane norm: apply against float64") {
  auto rng = generator(533);
  for (const std::int64_t pixels : sizes)
    for (int form = 0; form < 8; ++form) {
      const PlaneNormCase c(rng, {pick(rng, {1, 2, 3}), pick(rng, {1, 2, 9}), pixels}, form & 1);
      const bool accumulate = form & 2;
      CAPTURE(pixels);
      CAPTURE(c.relu);
      CAPTURE(accumulate);
      Inputs inputs(rng);
      kernels::PlaneNormApply p = c.call(inputs);
      p.accumulate = accumulate;
      PlaneBuffer y(rng, c.s.n, accumulate ? c.before : Doubles(c.before.size(), NAN));
      kernels::plane_norm_apply<Device::cpu>(p, y, nullptr);
      CHECK(roundings(y.doubles(), c.forward(accumulate)) <= 8);
    }
}

TEST_CASE("plane norm: backward against float64") {
  auto rng = generator(534);
  for (const std::int64_t pixels : sizes)
    for (int form = 0; form < 8; ++form) {
      const PlaneNormCase c(rng, {pick(rng, {1, 2, 3}), pick(rng, {1, 2, 9}), pixels}, form & 1);
      const bool accumulate = form & 2;
      CAPTURE(c.s.n);
      CAPTURE(pixels);
      CAPTURE(c.relu);
      CAPTURE(accumulate);
      const Gradients got = backward(rng, c, accumulate);
      const Doubles masked = c.masked_gradient();
      const NormGradient expected = c.backward();
      CHECK(roundings(got.dbeta, expected.sum) <= block_roundings);
      CHECK(roundings(got.dgamma, expected.product) <= block_roundings);
      CHECK(roundings(assemble(c.s, got.coefficients, masked, c.x), expected.dz) <=
            block_roundings);
      Bounded dx = expected.dz;
      for (std::int64_t i = 0; i < c.s.count() && accumulate; ++i) dx.add(i, c.before[i]);
      CHECK(roundings(got.dx, dx) <= block_roundings + 4);
    }
}

TEST_CASE("plane norm: backward without dx and parameters; the same bits for all thread counts") {
  auto rng = generator(535);
  const PlaneNormCase c(rng, {3, 5, 49}, true);
  const Gradients all = backward(rng, c, false);
  Inputs inputs(rng);
  Guarded coefficients(3 * c.s.c);
  const PlaneNormBackward b{c.call(inputs), inputs.planes(c.s.n, c.dy), coefficients, {}, {}, {},
                            false};
  Scratch scratch(kernels::plane_norm_backward_workspace<Device::cpu>(b.apply.shape));
  kernels::plane_norm_backward<Device::cpu>(b, scratch, nullptr);
  CHECK(coefficients.doubles() == all.coefficients);
  for (const int count : {1, 2, 7}) {
    const Threads threads(count);
    CHECK(backward(rng, c, false) == all);
  }
}

TEST_CASE("plane norm: gradients written out") {
  auto rng = generator(536);
  for (const std::int64_t pixels : sizes)
    for (const int step : {1, 2, 4, 6})
      for (const bool normalised : {false, true}) {
        const PlaneShape s{pick(rng, {1, 2}), pick(rng, {1, 2, 3, 9}), pixels};
        const GradientCase c(rng, s, step, normalised);
        const Doubles z = normals(rng, s.count());
        Inputs inputs(rng);
        PlaneBuffer dz(rng, s.n, s.c * pixels);
        kernels::plane_gradient<Device::cpu>(
            {s.n, s.c, pixels}, c.call(inputs),
            normalised ? inputs.planes(s.n, z) : kernels::ConstPlanes{}, dz, nullptr);
        Bounded expected(s.count());
        c.add_to(expected, z);
        CHECK(roundings(dz.doubles(), expected) <= 4);
      }
}
