// SPDX-License-Identifier: MIT
#include "tests/kernels/planes/separable_checks.h"

using namespace drnas;
using namespace drnas::test;
using namespace drnas::test::separable;
using kernels::Separable;

namespace {

void check(Rng& rng, const Separable& s, bool own_inputs) {
  check_separable(OnCpu::any_layout(rng), rng, SeparableCase(rng, s, own_inputs));
}

}  // namespace

TEST_CASE("separable convolutions agree with the definition, every kernel") {
  auto rng = generator(400);
  for (const int stride : {1, 2})
    for (const int kernel : {3, 5, 7})
      for (const int dilation : {1, 2}) {
        SeparableCase c(
            rng,
            {2, pick(rng, {2, 3}), pick(rng, {8, 9, 13}), pick(rng, {8, 11, 17}), 4, stride, 1},
            false);
        c.set_kernel(rng, 0, kernel);
        c.filter[0].dilation = dilation;
        check_separable(OnCpu::any_layout(rng), rng, c);
      }
}

TEST_CASE("separable convolutions agree with the definition, many shapes") {
  auto rng = generator(401);
  for (int round = 0; round < 60; ++round) {
    const int c = pick(rng, {1, 2, 3, 6, 9, 12}), c_out = pick(rng, {1, 2, 3, 6, 9, 12});
    const auto size = [&] { return 1 + static_cast<int>(rng() % (c + c_out > 12 ? 12 : 33)); };
    const int h = size(), w = size();
    check(rng,
          {1 + static_cast<int>(rng() % 3), c, h, w, c_out, pick(rng, {1, 2}),
           1 + static_cast<int>(rng() % 4)},
          rng() % 3 == 0);
  }
}

TEST_CASE("separable convolutions agree with the definition, wide") {
  auto rng = generator(402);
  for (const int stride : {1, 2}) {
    check(rng, {2, 24, 8, 8, 36, stride, 2}, false);
    check(rng, {2, 36, 7, 5, 24, stride, 2}, true);
    check(rng, {3, 6, 16, 16, 6, stride, 16}, false);
    check(rng, {1, 1, 33, 32, 1, stride, 8}, true);
  }
}

TEST_CASE("separable convolutions let a NaN through") {
  auto rng = generator(404);
  for (const int stride : {1, 2}) {
    check_nan(OnCpu::any_layout(rng), rng, {2, 3, 8, 8, 4, stride, 5});
    check_nan(OnCpu::any_layout(rng), rng, {2, 2, 13, 21, 3, stride, 5});
    check_nan(OnCpu::any_layout(rng), rng, {1, 1, 5, 40, 1, stride, 5});
  }
}

TEST_CASE("the reference of separable convolutions agrees with finite differences") {
  auto rng = generator(403);
  for (const int stride : {1, 2}) {
    SeparableCase c(rng, {2, 2, 5, 4, 3, stride, 1}, true);
    c.set_kernel(rng, 0, 3);
    Filter& f = c.filter[0];
    const Doubles dz = normals(rng, c.z_count());
    Gradients g = backward(c, f, dz);
    normalised_input(c.shape, f, g);
    const auto differences = [&](Doubles Filter::*part) {
      return finite_differences(
          [&](const Doubles& value) {
            Filter moved = f;
            moved.*part = value;
            return dot(forward(c, moved).z, dz);
          },
          f.*part, 1e-5);
    };
    if (f.gamma.empty()) f.gamma = Doubles(c.shape.c, 1.0);
    if (f.beta.empty()) f.beta = Doubles(c.shape.c, 0.0);
    CHECK(max_error(differences(&Filter::depthwise), g.depthwise) < 1e-7);
    CHECK(max_error(differences(&Filter::pointwise), g.pointwise) < 1e-7);
    CHECK(max_error(differences(&Filter::gamma), g.dgamma) < 1e-7);
    CHECK(max_error(differences(&Filter::beta), g.dbeta) < 1e-7);
  }
}

TEST_CASE("statistics of separable convolutions keep their digits far from zero") {
  auto rng = generator(404);
  SeparableCase c(rng, {2, 1, 16, 16, 1, 1, 1}, false);
  c.set_kernel(rng, 0, 3);
  Filter& f = c.filter[0];
  f.mean = f.inv_std = f.gamma = f.beta = {};
  f.depthwise = Doubles(9, 0.0);
  f.depthwise[4] = 1;  // z = u
  f.pointwise = {1.0};
  for (double& v : f.x) v = static_cast<float>(1000 + 0.1 * v);
  check_statistics(c, OnCpu{}([&](auto& b) { return c.forward(b); }), 0);
}

TEST_CASE("separable convolutions give the same bits with any number of threads, but for weights") {
  auto rng = generator(405);
  const SeparableCase c(rng, {5, 6, 9, 10, 6, 1, 4}, true);
  const auto with = [&](int count) {
    const Threads threads(count);
    return std::pair(OnCpu{}([&](auto& b) { return c.forward(b); }),
                     OnCpu{}([&](auto& b) { return c.backward(b); }));
  };
  const auto one = with(1);
  for (const int many : {2, 3, 7}) {
    const auto other = with(many);
    CHECK(other.first == one.first);
    for (const auto& result : other.second) {
      const std::string& name = result.first;
      const auto& values = result.second;
      CAPTURE(name);
      if (name.ends_with("wise"))
        CHECK(max_error(values, one.second.at(name)) <= sum_tolerance(5 * 90));
      else
        CHECK(values == one.second.at(name));
    }
  }
}

TEST_CASE("separable convolutions refuse what they cannot do") {
  auto rng = generator(406);
  const SeparableCase c(rng, {1, 2, 4, 4, 2, 1, 3}, false);
  Buffers<Device::cpu> b;
  kernels::SeparableForward good{};
  good.shape = c.shape;
  c.place_filters(b, good.filter);
  const auto refuses = [&](const auto& spoil) {
    kernels::SeparableForward bad = good;
    spoil(bad);
    CHECK_THROWS_AS(kernels::separable_forward<Device::cpu>(bad, nullptr, nullptr), Error);
    kernels::SeparableBackward back{};
    back.shape = bad.shape;
    std::copy_n(bad.filter, Separable::max_filters, back.filter);
    CHECK_THROWS_AS(kernels::separable_backward<Device::cpu>(back, nullptr, nullptr), Error);
  };
  refuses([](auto& p) { p.shape.stride = 3; });
  refuses([](auto& p) { p.shape.c = 0; });
  refuses([](auto& p) { p.shape.c_out = 0; });
  refuses([](auto& p) { p.shape.n = 0; });
  refuses([](auto& p) { p.shape.h = 0; });
  refuses([](auto& p) { p.shape.filters = 17; });
  refuses([](auto& p) { p.shape.filters = 0; });
  refuses([](auto& p) { p.filter[1].kernel = 4; });
  refuses([](auto& p) { p.filter[2].kernel = 9; });
  refuses([](auto& p) { p.filter[2].dilation = 3; });
  refuses([](auto& p) { p.filter[0].in.x.stride = 31; });
  kernels::SeparableBackward back{};
  back.shape = good.shape;
  std::copy_n(good.filter, Separable::max_filters, back.filter);
  float dx[32];
  back.dx[0] = back.dx[2] = {dx, 32};
  CHECK_THROWS_AS(kernels::separable_backward<Device::cpu>(back, nullptr, nullptr), Error);
}
