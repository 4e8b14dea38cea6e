// SPDX-License-Identifier: MIT
#include "kernels/planes/separable.h"

#include <omp.h>

#include <functional>

#include "tests/kernels/planes/separable_calls.h"

using namespace drnas;
using namespace drnas::test;
using namespace drnas::test::separable;

namespace {

/// Statistics of a filter's outputs, in float64 from the outputs as they are.
void check_statistics(const Call& call, const ForwardResult& r, int f) {
  const Separable& s = call.shape;
  const std::int64_t pixels = std::int64_t{s.out_h()} * s.out_w(), total = pixels * s.n;
  for (int o = 0; o < s.c_out; ++o) {
    double sum = 0, m2 = 0;
    const auto each = [&](const auto& body) {
      for (int i = 0; i < s.n; ++i)
        for (std::int64_t k = 0; k < pixels; ++k)
          body(r.z[f][(std::int64_t{i} * s.c_out + o) * pixels + k]);
    };
    each([&](double z) { sum += z; });
    const double mean = sum / static_cast<double>(total);
    each([&](double z) { m2 += (z - mean) * (z - mean); });
    const double var = m2 / static_cast<double>(total), power = var + mean * mean + 1e-30,
                 bound = sum_tolerance(static_cast<double>(pixels));
    CHECK(std::abs(r.mean[f][o] - mean) <= bound * std::sqrt(power));
    CHECK(std::abs(r.inv_std[f][o] * std::sqrt(var + eps) - 1) <=
          bound * (1 + power / (var + eps) * float_epsilon));
    const double unbiased = total > 1 ? m2 / static_cast<double>(total - 1) : 0.0;
    CHECK(std::abs(r.running_mean[f][o] - (0.9 * 0.5 + 0.1 * mean)) <=
          bound * (1 + std::sqrt(power)));
    CHECK(std::abs(r.running_var[f][o] - (0.9 * 2.0 + 0.1 * unbiased)) <= bound * (2 + power));
  }
}

void check_forward(const Call& call, std::int64_t gap) {
  const ForwardResult r = run_forward(call, true, gap), still = run_forward(call, true, 0, false),
                      evaluation = run_forward(call, false, gap);
  for (int f = 0; f < call.shape.filters; ++f) {
    const Filter& filter = call.filter[f];
    CAPTURE(f);
    CAPTURE(filter.kernel);
    CAPTURE(filter.dilation);
    CHECK(max_error(r.z[f], forward(call.shape, filter).z) <=
          sum_tolerance(filter.kernel * filter.kernel + call.shape.c));
    check_statistics(call, r, f);
    CHECK(still.z[f] == r.z[f]);
    CHECK(still.mean[f] == r.mean[f]);
    CHECK(still.inv_std[f] == r.inv_std[f]);
    CHECK(evaluation.z[f] == r.z[f]);
    const auto all = [&](float value) { return Doubles(call.shape.c_out, value); };
    CHECK(evaluation.mean[f] == all(0.5f));
    CHECK(evaluation.inv_std[f] == all(static_cast<float>(1 / std::sqrt(2.0 + double{eps}))));
    CHECK(evaluation.running_mean[f] == all(0.5f));
    CHECK(evaluation.running_var[f] == all(2.0f));
  }
}

/// The gradient of x itself by the coefficients that the kernel gave.
Doubles through_statistics(const Call& call, const Filter& f, const Doubles& dx,
                           const Doubles& coefficients) {
  const Separable& s = call.shape;
  Doubles out(dx.size());
  for (std::size_t i = 0; i < dx.size(); ++i) {
    const std::size_t ch = i / (static_cast<std::size_t>(s.h) * s.w) % s.c;
    out[i] =
        coefficients[ch] * dx[i] + coefficients[s.c + ch] * f.x[i] + coefficients[2 * s.c + ch];
  }
  return out;
}

/// Gradients of the filters [first, last), which share dx.
void check_run(const Call& call, const Upstream& up, const Wanted& wanted, const BackwardResult& r,
               int first, int last) {
  const Separable& s = call.shape;
  Gradients total;
  double terms = 0;
  const double pixels = static_cast<double>(z_count(s)) / s.c_out;
  for (int f = first; f < last; ++f) {
    const Filter& filter = call.filter[f];
    CAPTURE(f);
    CAPTURE(filter.kernel);
    CAPTURE(filter.dilation);
    const Gradients g = backward(s, filter, up.dz(s, f));
    const double inner = filter.kernel * filter.kernel + s.c_out;
    if (wanted.weights) {
      // Sums over pixels of rounded terms against the gradient's largest element.
      CHECK(max_error(r.depthwise[f], g.depthwise, std::sqrt(pixels * s.c_out)) <=
            sum_tolerance(pixels + inner));
      CHECK(max_error(r.pointwise[f], g.pointwise, std::sqrt(pixels)) <=
            sum_tolerance(pixels + inner));
    }
    if (f == first) total.dx = Doubles(g.dx.size(), 0.0);
    for (std::size_t i = 0; i < g.dx.size(); ++i) total.dx[i] += g.dx[i];
    terms += inner;
  }
  if (!wanted.dx) return;
  for (std::size_t i = 0; i < total.dx.size() && wanted.accumulate; ++i) total.dx[i] += up.start[i];
  for (int f = first; f < last; ++f) {
    CHECK(max_error(r.dx[f], total.dx, 1.0) <= sum_tolerance(terms));
    if (!call.normalised(f)) continue;
    const Filter& filter = call.filter[f];
    normalised_input(s, filter, total);
    const double sum = sum_tolerance(terms + static_cast<double>(s.h) * s.w),
                 least = max_error(total.dx, Doubles(total.dx.size(), 0.0), 1.0) *
                             std::sqrt(static_cast<double>(s.n) * s.h * s.w) +
                         1e-30;
    if (!r.dgamma[f].empty()) {
      CHECK(max_error(r.dgamma[f], total.dgamma, least) <= sum);
      CHECK(max_error(r.dbeta[f], total.dbeta, least) <= sum);
    }
    CHECK(max_error(through_statistics(call, filter, r.dx[f], r.coefficients[f]), total.x, 1.0) <=
          4 * sum);
  }
}

void check_backward(std::mt19937_64& rng, const Call& call, std::int64_t gap) {
  const Upstream up(rng, call);
  Wanted wanted;
  wanted.accumulate = rng() % 2;
  const BackwardResult r = run_backward(call, up, wanted, gap);
  for (int first = 0; first < call.shape.filters;) {
    int last = first + 1;
    while (last < call.shape.filters && up.shares_dx[last]) ++last;
    check_run(call, up, wanted, r, first, last);
    first = last;
  }
  CHECK(run_backward(call, up, wanted, 0) == r);
  BackwardResult input = run_backward(call, up, {true, false, wanted.accumulate}, gap);
  CHECK(input.dx == r.dx);
  CHECK(input.coefficients == r.coefficients);
  BackwardResult weights = run_backward(call, up, {false, true, false}, gap);
  CHECK(weights.depthwise == r.depthwise);
  CHECK(weights.pointwise == r.pointwise);
}

void check_call(std::mt19937_64& rng, const Call& call) {
  CAPTURE(call.shape.n);
  CAPTURE(call.shape.c);
  CAPTURE(call.shape.c_out);
  CAPTURE(call.shape.h);
  CAPTURE(call.shape.w);
  CAPTURE(call.shape.stride);
  CAPTURE(call.shape.filters);
  const std::int64_t gap = pick(rng, {0, 1, 40});
  check_forward(call, gap);
  check_backward(rng, call, gap);
}

}  // namespace

TEST_CASE("separable convolutions agree with the definition, every kernel") {
  auto rng = generator(400);
  for (const int stride : {1, 2})
    for (const int kernel : {3, 5, 7})
      for (const int dilation : {1, 2}) {
        Separable s{2, pick(rng, {2, 3}), pick(rng, {8, 9, 13}), pick(rng, {8, 11, 17}), 4, stride,
                    1};
        Call call = random_call(rng, s, false);
        call.filter[0].kernel = kernel;
        call.filter[0].dilation = dilation;
        call.filter[0].depthwise = normals(rng, std::int64_t{s.c} * kernel * kernel);
        check_call(rng, call);
      }
}

TEST_CASE("separable convolutions agree with the definition, many shapes") {
  auto rng = generator(401);
  for (int round = 0; round < 60; ++round) {
    const int c = pick(rng, {1, 2, 3, 6, 9, 12}), c_out = pick(rng, {1, 2, 3, 6, 9, 12});
    const auto size = [&] { return 1 + static_cast<int>(rng() % (c + c_out > 12 ? 12 : 33)); };
    const int h = size(), w = size();
    check_call(rng, random_call(rng,
                                {1 + static_cast<int>(rng() % 3), c, h, w, c_out, pick(rng, {1, 2}),
                                 1 + static_cast<int>(rng() % 4)},
                                rng() % 3 == 0));
  }
}

TEST_CASE("separable convolutions agree with the definition, wide") {
  auto rng = generator(402);
  for (const int stride : {1, 2}) {
    check_call(rng, random_call(rng, {2, 24, 8, 8, 36, stride, 2}, false));
    check_call(rng, random_call(rng, {2, 36, 7, 5, 24, stride, 2}, true));
    check_call(rng, random_call(rng, {3, 6, 16, 16, 6, stride, 16}, false));
    check_call(rng, random_call(rng, {1, 1, 33, 32, 1, stride, 8}, true));
  }
}

TEST_CASE("the reference of separable convolutions agrees with finite differences") {
  auto rng = generator(403);
  for (const int stride : {1, 2}) {
    const Separable s{2, 2, 5, 4, 3, stride, 1};
    Call call = random_call(rng, s, true);
    Filter& f = call.filter[0];
    f.kernel = 3;
    f.depthwise = normals(rng, 2 * 9);
    const Doubles dz = normals(rng, static_cast<std::int64_t>(z_count(s)));
    Gradients g = backward(s, f, dz);
    normalised_input(s, f, g);
    const auto differences = [&](Doubles Filter::*part) {
      return finite_differences(
          [&](const Doubles& value) {
            Filter moved = f;
            moved.*part = value;
            return dot(forward(s, moved).z, dz);
          },
          f.*part, 1e-5);
    };
    if (f.gamma.empty()) f.gamma = Doubles(s.c, 1.0);
    if (f.beta.empty()) f.beta = Doubles(s.c, 0.0);
    CHECK(max_error(differences(&Filter::depthwise), g.depthwise) < 1e-7);
    CHECK(max_error(differences(&Filter::pointwise), g.pointwise) < 1e-7);
    CHECK(max_error(differences(&Filter::gamma), g.dgamma) < 1e-7);
    CHECK(max_error(differences(&Filter::beta), g.dbeta) < 1e-7);
  }
}

TEST_CASE("statistics of separable convolutions keep their digits far from zero") {
  Separable s{2, 1, 16, 16, 1, 1, 1};
  auto rng = generator(404);
  Call call = random_call(rng, s, false);
  Filter& f = call.filter[0];
  f.mean = f.inv_std = f.gamma = f.beta = {};
  f.kernel = 3;
  f.depthwise = Doubles(9, 0.0);
  f.depthwise[4] = 1;  // z = u
  f.pointwise = {1.0};
  for (double& v : f.x) v = static_cast<float>(1000 + 0.1 * v);
  check_statistics(call, run_forward(call, true, 0), 0);
}

TEST_CASE("separable convolutions give the same bits with any number of threads, but for weights") {
  auto rng = generator(405);
  const Call call = random_call(rng, {5, 6, 9, 10, 6, 1, 4}, true);
  const Upstream up(rng, call);
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const ForwardResult one = run_forward(call, true, 0);
  const BackwardResult back = run_backward(call, up, {}, 0);
  for (const int many : {2, 3, 7}) {
    omp_set_num_threads(many);
    const ForwardResult other = run_forward(call, true, 0);
    CHECK(other.z == one.z);
    CHECK(other.mean == one.mean);
    CHECK(other.inv_std == one.inv_std);
    const BackwardResult again = run_backward(call, up, {}, 0);
    CHECK(again.dx == back.dx);
    CHECK(again.coefficients == back.coefficients);
    for (int f = 0; f < 4; ++f) {
      CHECK(max_error(again.depthwise[f], back.depthwise[f]) <= sum_tolerance(5 * 90));
      CHECK(max_error(again.pointwise[f], back.pointwise[f]) <= sum_tolerance(5 * 90));
    }
  }
  omp_set_num_threads(threads);
}

TEST_CASE("separable convolutions refuse what they cannot do") {
  auto rng = generator(406);
  const Call call = random_call(rng, {1, 2, 4, 4, 2, 1, 3}, false);
  Buffers b;
  SeparableForward good{};
  good.shape = call.shape;
  place_filters(call, b, 0, good.filter);
  const auto refuses = [&](const std::function<void(SeparableForward&)>& spoil) {
    SeparableForward bad = good;
    spoil(bad);
    CHECK_THROWS_AS(kernels::separable_forward<Device::cpu>(bad, nullptr, nullptr), Error);
    SeparableBackward back{};
    back.shape = bad.shape;
    std::copy_n(bad.filter, Separable::max_filters, back.filter);
    CHECK_THROWS_AS(kernels::separable_backward<Device::cpu>(back, nullptr, nullptr), Error);
  };
  refuses([](SeparableForward& p) { p.shape.stride = 3; });
  refuses([](SeparableForward& p) { p.shape.c = 0; });
  refuses([](SeparableForward& p) { p.shape.c_out = 0; });
  refuses([](SeparableForward& p) { p.shape.n = 0; });
  refuses([](SeparableForward& p) { p.shape.h = 0; });
  refuses([](SeparableForward& p) { p.shape.filters = 17; });
  refuses([](SeparableForward& p) { p.shape.filters = 0; });
  refuses([](SeparableForward& p) { p.filter[1].kernel = 4; });
  refuses([](SeparableForward& p) { p.filter[2].kernel = 9; });
  refuses([](SeparableForward& p) { p.filter[2].dilation = 3; });
  refuses([](SeparableForward& p) { p.filter[0].in.x.stride = 31; });
  SeparableBackward back{};
  back.shape = good.shape;
  std::copy_n(good.filter, Separable::max_filters, back.filter);
  float dx[32];
  back.dx[0] = back.dx[2] = {dx, 32};
  CHECK_THROWS_AS(kernels::separable_backward<Device::cpu>(back, nullptr, nullptr), Error);
}
