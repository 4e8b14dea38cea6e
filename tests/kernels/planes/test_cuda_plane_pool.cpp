// SPDX-License-Identifier: MIT
// Pooling on planes: CUDA sources against float64 and the CPU twins.
#include "tests/kernels/planes/plane_arrays.h"
#include "tests/kernels/planes/plane_pool_reference.h"

using namespace drnas;
using namespace drnas::test;
using kernels::NormMode;
using kernels::PlanePool;
using kernels::PlanePoolBackward;

namespace {

/// Results: y, then statistics where `mode`.
auto forward_call(const PlanePool& p, const Doubles& x, const NormMode* mode) {
  return [&p, &x, mode]<Device D>(PlaneArrays<D>& a) {
    const kernels::Planes y = a.output(p.n, nans(output_shape(p).count()));
    kernels::plane_pool_forward<D>(
        p, a.input(p.n, x), y, mode ? output_statistics(a, p.c) : kernels::PlaneStatistics{},
        mode ? *mode : NormMode{}, mode ? a.bytes(kernels::plane_pool_workspace<D>(p)) : nullptr,
        nullptr);
  };
}

auto backward_call(const PoolGradientCase& c) {
  return [&c]<Device D>(PlaneArrays<D>& a) {
    ArrayInputs<D> inputs{a};
    PlanePoolBackward b = c.call(inputs);
    b.dx = a.output(c.p.n, c.start());
    kernels::plane_pool_backward<D>(b, nullptr);
  };
}

void check_gradient(const PoolGradientCase& c, int spoil) {
  CHECK(roundings(on_device(spoil, backward_call(c)), c.gradient()) <=
        8 + 3 * static_cast<double>(c.gradients.size()) + c.p.kernel * c.p.kernel);
}

void check(std::mt19937_64& rng, const PlanePool& p, const Doubles& x) {
  CAPTURE(p.n);
  CAPTURE(p.c);
  CAPTURE(p.h);
  CAPTURE(p.w);
  CAPTURE(p.kernel);
  CAPTURE(p.stride);
  CAPTURE(p.padding);
  CAPTURE(p.max);
  const int spoil = pick(rng, {0, 0, 1, 2});
  const Doubles y = on_device(spoil, forward_call(p, x, nullptr));
  if (p.max)
    CHECK(y == on_cpu(forward_call(p, x, nullptr)));
  else
    CHECK(roundings(y, pool(p, x)) <= p.kernel * p.kernel + 1);
  const NormMode mode{true, 1e-3f, 0.3f};
  Parts got(on_device(spoil, forward_call(p, x, &mode)));
  CHECK(got.take(output_shape(p).count()) == y);
  check_statistics(output_shape(p), y, mode, got);
  check_gradient(PoolGradientCase(rng, p, x, pick(rng, {1, 3}), rng() % 4 != 0, rng() % 2), spoil);
}

}  // namespace

TEST_CASE("cuda: plane pool, average and maximum, whatever the shape") {
  auto rng = generator(571);
  for (int i = 0; i < 64; ++i) {
    const PlanePool p = random_pool(rng, i, i / 16 % 2 == 0);
    check(rng, p,
          i % 3 ? normals(rng, input_shape(p).count()) : few_values(rng, input_shape(p).count()));
  }
}

TEST_CASE("cuda: plane pool, single pixels, odd sizes, planes of several tiles, many planes") {
  auto rng = generator(572);
  for (const bool max : {false, true})
    for (const PlanePool& p :
         {PlanePool{2, 3, 1, 1, 3, 1, 1, max}, PlanePool{2, 3, 1, 1, 3, 2, 1, max},
          PlanePool{1, 2, 1, 1, 2, 2, 0, max}, PlanePool{2, 2, 5, 7, 2, 2, 0, max},
          PlanePool{1, 144, 3, 3, 3, 2, 1, max}, PlanePool{1, 1, 2, 1100, 3, 1, 1, max},
          PlanePool{1, 1, 3, 1031, 3, 2, 1, max}, PlanePool{1, 1, 70, 40, 3, 1, 1, max},
          PlanePool{1, 1, 67, 41, 3, 2, 1, max}, PlanePool{1, 1, 2000, 1, 3, 1, 1, max},
          PlanePool{1, 1, 40, 40, 20, 7, 9, max}, PlanePool{1, 1, 66, 70, 64, 1, 2, max},
          PlanePool{30, 20, 2, 2, 3, 1, 1, max}})
      check(rng, p, few_values(rng, input_shape(p).count()));
}

TEST_CASE("cuda: plane pool, gradients of eight edges, and of none") {
  auto rng = generator(573);
  for (const int edges : {0, PlanePoolBackward::max_edges}) {
    const PlanePool p{2, 3, 8, 9, 3, 1, 1, edges == 0};
    check_gradient(
        PoolGradientCase(rng, p, normals(rng, input_shape(p).count()), edges, true, false), 0);
  }
}

TEST_CASE("cuda: plane pool in evaluation, and impossible windows") {
  auto rng = generator(574);
  const PlanePool p{2, 3, 4, 5, 3, 2, 1, true};
  const Doubles x = normals(rng, input_shape(p).count());
  const NormMode mode{false, 0.25f, 0.1f};
  const auto call = forward_call(p, x, &mode);
  CHECK(on_device(0, call) == on_cpu(call));
  const PlanePool wide{2, 3, 4, 5, 3, 2, 2, true};
  CHECK_THROWS_AS(kernels::plane_pool_forward<Device::cuda>(wide, {}, {}, {}, {}, nullptr, nullptr),
                  Error);
}

TEST_CASE("cuda: plane pool, infinities and NaNs never reach outside a window") {
  auto rng = generator(575);
  for (const int stride : {1, 2})
    for (const double value : {static_cast<double>(-INFINITY), static_cast<double>(NAN)}) {
      const PlanePool p{1, 2, 6, 7, 3, stride, 1, true};
      const Doubles x(input_shape(p).count(), value);
      const PoolGradientCase c(rng, p, x, 1, false, false);
      const Doubles y = on_device(0, forward_call(p, x, nullptr));
      for (const double v : y) CHECK((std::isnan(value) ? std::isnan(v) : v == value));
      CHECK(on_device(0, backward_call(c)) == on_cpu(backward_call(c)));
    }
}
