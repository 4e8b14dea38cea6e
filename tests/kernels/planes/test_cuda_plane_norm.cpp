// SPDX-License-Identifier: MIT
// Batch normalisation on planes: CUDA sources against float64 and the CPU twins.
#include "tests/kernels/planes/plane_arrays.h"
#include "tests/kernels/planes/plane_norm_reference.h"
#include "tests/kernels/planes/plane_pool_reference.h"

using namespace drnas;
using namespace drnas::test;
using kernels::NormMode;
using kernels::PlaneNorm;
using kernels::PlaneNormBackward;

namespace {

constexpr std::int64_t sizes[] = {1, 2, 5, 9, 16, 49, 64, 100, 1024, 1063};

auto moments_call(const PlaneShape& s, const Doubles& x, const NormMode& mode) {
  return [&s, &x, mode]<Device D>(PlaneArrays<D>& a) {
    const PlaneNorm p{s.n, s.c, s.pixels};
    kernels::plane_moments<D>(p, a.input(s.n, x), output_statistics(a, s.c), mode,
                              a.bytes(kernels::plane_norm_workspace<D>(p)), nullptr);
  };
}

void check_moments(std::mt19937_64& rng, const PlaneShape& s, double offset, int spoil) {
  CAPTURE(s.n);
  CAPTURE(s.c);
  CAPTURE(s.pixels);
  CAPTURE(offset);
  const NormMode mode{true, 1e-5f, 0.1f};
  Doubles x = normals(rng, s.count());
  for (double& v : x) v = static_cast<float>(v + offset);
  Parts got(on_device(spoil, moments_call(s, x, mode)));
  check_statistics(s, x, mode, got);
}

/// Results: coefficients, dgamma, dbeta, dx.
auto backward_call(const PlaneNormCase& c, bool accumulate, bool all) {
  return [&c, accumulate, all]<Device D>(PlaneArrays<D>& a) {
    ArrayInputs<D> inputs{a};
    PlaneNormBackward b{};
    b.apply = c.call(inputs);
    b.dy = a.input(c.s.n, c.dy);
    b.coefficients = a.output(std::vector<float>(3 * c.s.c, NAN));
    b.accumulate = accumulate;
    if (all) {
      b.dgamma = a.output(std::vector<float>(c.s.c, NAN));
      b.dbeta = a.output(std::vector<float>(c.s.c, NAN));
      b.dx = a.output(c.s.n, accumulate ? c.before : nans(c.s.count()));
    }
    kernels::plane_norm_backward<D>(
        b, a.bytes(kernels::plane_norm_backward_workspace<D>(b.apply.shape)), nullptr);
  };
}

void check_backward(const PlaneNormCase& c, bool accumulate, int spoil) {
  CAPTURE(c.s.n);
  CAPTURE(c.s.c);
  CAPTURE(c.s.pixels);
  CAPTURE(c.relu);
  CAPTURE(accumulate);
  Parts got(on_device(spoil, backward_call(c, accumulate, true)));
  const NormGradient expected = c.backward();
  const Doubles coefficients = got.take(3 * c.s.c);
  CHECK(roundings(assemble(c.s, coefficients, c.masked_gradient(), c.x), expected.dz) <=
        device_sum_roundings);
  CHECK(roundings(got.take(c.s.c), expected.product) <= device_sum_roundings);
  CHECK(roundings(got.take(c.s.c), expected.sum) <= device_sum_roundings);
  Bounded dx = expected.dz;
  for (std::int64_t i = 0; i < c.s.count() && accumulate; ++i) dx.add(i, c.before[i]);
  CHECK(roundings(got.take(c.s.count()), dx) <= device_sum_roundings + 4);
  CHECK(on_device(spoil, backward_call(c, accumulate, false)) == coefficients);
}

}  // namespace

TEST_CASE("cuda: plane moments of means far from zero") {
  auto rng = generator(561);
  for (const std::int64_t pixels : sizes)
    for (const double offset : {0.0, 1000.0})
      check_moments(rng, {pick(rng, {1, 2, 5}), pick(rng, {1, 3, 7}), pixels}, offset,
                    pick(rng, {0, 0, 1, 2}));
  check_moments(rng, {17, 16, 4096}, 3.0, 0);  // several vectors a thread
  check_moments(rng, {3, 90, 1003}, 3.0, 0);
  check_moments(rng, {70, 1, 1001}, 3.0, 0);  // more tiles than blocks
}

TEST_CASE("cuda: plane moments in evaluation") {
  auto rng = generator(562);
  const PlaneShape s{2, 3, 4};
  const Doubles x = normals(rng, s.count());
  const auto call = moments_call(s, x, {false, 0.25f, 0.1f});
  CHECK(on_device(0, call) == on_cpu(call));
  PlaneArrays<Device::cuda> a;
  float* mean = a.array(x);
  CHECK_THROWS_AS(
      kernels::plane_moments<Device::cuda>({2, 3, 4}, a.input(2, x), {mean, mean, nullptr, nullptr},
                                           {false, 0.25f, 0.1f}, nullptr, nullptr),
      Error);
}

TEST_CASE("cuda: plane norm apply against float64") {
  auto rng = generator(563);
  for (const std::int64_t pixels : sizes)
    for (int form = 0; form < 8; ++form) {
      const PlaneNormCase c(rng, {pick(rng, {1, 2, 3}), pick(rng, {1, 2, 9}), pixels}, form & 1);
      const bool accumulate = form & 2;
      CAPTURE(pixels);
      CAPTURE(c.relu);
      CAPTURE(accumulate);
      const Doubles y = on_device(pick(rng, {0, 0, 1, 2}), [&]<Device D>(PlaneArrays<D>& a) {
        ArrayInputs<D> inputs{a};
        kernels::PlaneNormApply p = c.call(inputs);
        p.accumulate = accumulate;
        kernels::plane_norm_apply<D>(p, a.output(c.s.n, accumulate ? c.before : nans(c.s.count())),
                                     nullptr);
      });
      CHECK(roundings(y, c.forward(accumulate)) <= 8);
    }
}

TEST_CASE("cuda: plane norm backward against float64") {
  auto rng = generator(564);
  for (const std::int64_t pixels : sizes)
    for (int form = 0; form < 4; ++form)
      check_backward(
          PlaneNormCase(rng, {pick(rng, {1, 2, 3}), pick(rng, {1, 2, 9}), pixels}, form & 1),
          form & 2, pick(rng, {0, 0, 1, 2}));
  check_backward(PlaneNormCase(rng, {17, 16, 4096}, true), false, 0);
  check_backward(PlaneNormCase(rng, {3, 90, 1003}, true), true, 0);
  check_backward(PlaneNormCase(rng, {70, 1, 1001}, false), true, 0);
}

TEST_CASE("cuda: plane gradients written out") {
  auto rng = generator(565);
  for (const std::int64_t pixels : sizes)
    for (const int step : {1, 2, 6})
      for (const bool normalised : {false, true}) {
        const PlaneShape s{pick(rng, {1, 2}), pick(rng, {1, 2, 3, 9}), pixels};
        const GradientCase c(rng, s, step, normalised);
        const Doubles z = normals(rng, s.count());
        const Doubles dz = on_device(pick(rng, {0, 0, 1, 2}), [&]<Device D>(PlaneArrays<D>& a) {
          ArrayInputs<D> inputs{a};
          kernels::plane_gradient<D>({s.n, s.c, pixels}, c.call(inputs),
                                     normalised ? a.input(s.n, z) : kernels::ConstPlanes{},
                                     a.output(s.n, nans(s.count())), nullptr);
        });
        Bounded expected(s.count());
        c.add_to(expected, z);
        CHECK(roundings(dz, expected) <= 4);
      }
}
