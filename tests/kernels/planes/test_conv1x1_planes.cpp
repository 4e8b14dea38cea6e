// SPDX-License-Identifier: MIT
// 1x1 convolutions on planes against float64, their reference gradients against finite differences.
#include <omp.h>

#include <memory>

#include "tests/kernels/planes/conv1x1_reference.h"

using namespace drnas;
using namespace drnas::test;
using kernels::Conv1x1Planes;

namespace {

using Buffers = std::vector<std::unique_ptr<Guarded>>;

Buffers buffers(const std::vector<Doubles>& values) {
  Buffers all;
  for (const Doubles& v : values) all.push_back(std::make_unique<Guarded>(v));
  return all;
}

constexpr double between = -7;  ///< what lies between images of y

std::vector<Doubles> run_forward(const Conv1x1Case& c) {
  Guarded x(c.x);
  const Buffers weight = buffers(c.weight);
  std::vector<Doubles> results;
  Buffers y;
  kernels::Conv1x1Forward f{};
  f.shape = c.p;
  f.x = {x, c.x_stride()};
  for (int o = 0; o < c.p.outputs; ++o) {
    y.push_back(std::make_unique<Guarded>(Doubles(c.dy[o].size(), between)));
    f.weight[o] = weight[o]->data();
    f.y[o] = {y[o]->data(), c.y_stride(o)};
  }
  const std::size_t bytes = kernels::conv1x1_forward_workspace<Device::cpu>(c.p);
  Guarded workspace(static_cast<std::int64_t>((bytes + 3) / 4));
  kernels::conv1x1_forward<Device::cpu>(f, workspace.data(), nullptr);
  for (const auto& out : y) results.push_back(out->doubles());
  return results;
}

/// What run_backward leaves out or adds to.
struct Wanted {
  bool dx = true, accumulate = false;
  unsigned dweight = ~0u;  ///< a bit an output
};

/// dx, then dweight of every output.
std::vector<Doubles> run_backward(const Conv1x1Case& c, const Wanted& wanted) {
  Guarded x(c.x), dx(c.dx);
  const Buffers weight = buffers(c.weight), dy = buffers(c.dy);
  Buffers dweight;
  kernels::Conv1x1Backward b{};
  b.shape = c.p;
  b.x = {x, c.x_stride()};
  b.accumulate = wanted.accumulate;
  if (wanted.dx) b.dx = {dx, c.x_stride()};
  for (int o = 0; o < c.p.outputs; ++o) {
    dweight.push_back(std::make_unique<Guarded>(Doubles(c.weight[o].size(), between)));
    b.weight[o] = weight[o]->data();
    b.dy[o] = {dy[o]->data(), c.y_stride(o)};
    b.dweight[o] = wanted.dweight >> o & 1u ? dweight[o]->data() : nullptr;
  }
  const std::size_t bytes = kernels::conv1x1_backward_workspace<Device::cpu>(c.p);
  Guarded workspace(static_cast<std::int64_t>((bytes + 3) / 4));
  kernels::conv1x1_backward<Device::cpu>(b, workspace.data(), nullptr);
  std::vector<Doubles> results = {dx.doubles()};
  for (const auto& out : dweight) results.push_back(out->doubles());
  return results;
}

void check_forward(const Conv1x1Case& c) {
  const std::vector<Doubles> y = run_forward(c);
  for (int o = 0; o < c.p.outputs; ++o)
    CHECK(max_error(y[o], c.forward(o, c.x, between), std::sqrt(c.p.c_in)) <
          sum_tolerance(c.p.c_in));
}

void check_backward(const Conv1x1Case& c, const Wanted& wanted) {
  CAPTURE(wanted.dx);
  CAPTURE(wanted.accumulate);
  CAPTURE(wanted.dweight);
  const std::vector<Doubles> got = run_backward(c, wanted);
  const double terms = c.data_terms(), pixels = static_cast<double>(c.p.n * c.pixels());
  CHECK(max_error(got[0], wanted.dx ? c.backward_data(wanted.accumulate) : c.dx, std::sqrt(terms)) <
        sum_tolerance(terms));
  for (int o = 0; o < c.p.outputs; ++o)
    CHECK(max_error(got[1 + o],
                    wanted.dweight >> o & 1u ? c.backward_weight(o)
                                             : Doubles(c.weight[o].size(), between),
                    std::sqrt(pixels)) < sum_tolerance(pixels));
}

void check(const Conv1x1Case& c) {
  INFO(c.text());
  check_forward(c);
  for (const bool accumulate : {false, true}) check_backward(c, {true, accumulate});
}

/// Runs `body` with 1, 2, 3 threads.
template <class Body>
void with_threads(const Body& body) {
  const int before = omp_get_max_threads();
  for (const int threads : {1, 2, 3}) {
    omp_set_num_threads(threads);
    CAPTURE(threads);
    body();
  }
  omp_set_num_threads(before);
}

}  // namespace

TEST_CASE("pointwise planes: every product against float64") {
  const Conv1x1Planes shapes[] = {
      {1, 1, 1, 1, false, 1, 1, {1}, {0}},
      {2, 36, 8, 8, true, 1, 1, {36}, {0}},
      {3, 12, 7, 7, true, 1, 2, {6, 24}, {0, 0}},
      {2, 17, 5, 3, false, 1, 1, {13}, {0}},
      {5, 9, 4, 4, true, 1, 4, {1, 2, 3, 7}, {0, 0, 0, 0}},
      {2, 16, 8, 8, true, 2, 2, {18, 18}, {0, 1}},
      {3, 10, 6, 10, true, 2, 3, {4, 7, 5}, {1, 0, 1}},
      {2, 5, 2, 2, false, 2, 1, {3}, {1}},
      {2, 4, 14, 6, true, 2, 1, {6}, {0}},
  };
  std::uint64_t seed = 900;
  with_threads([&] {
    for (const Conv1x1Planes& p : shapes)
      for (const std::int64_t gap : {0, 11}) check(Conv1x1Case(p, gap, ++seed));
  });
}

TEST_CASE("pointwise planes: images of several blocks of pixels") {
  check(Conv1x1Case({2, 150, 19, 17, true, 1, 2, {35, 8}, {0, 0}}, 3, 930));
  check(Conv1x1Case({1, 8, 2, 300, true, 1, 1, {150}, {0}}, 0, 931));
  check(Conv1x1Case({2, 130, 40, 44, true, 2, 2, {12, 12}, {0, 1}}, 5, 932));
  check(Conv1x1Case({1, 3, 4, 1200, false, 2, 2, {4, 5}, {1, 0}}, 0, 933));
  check(Conv1x1Case({1, 2500, 3, 7, true, 1, 1, {9}, {0}}, 0, 934));
}

TEST_CASE("pointwise planes: random shapes") {
  auto rng = generator(940);
  for (int round = 0; round < 40; ++round) {
    Conv1x1Planes p{};
    p.n = pick(rng, {1, 2, 3, 4});
    p.c_in = pick(rng, {1, 2, 3, 4, 6, 9, 12, 16, 18, 33, 36, 64});
    p.stride = pick(rng, {1, 1, 2});
    p.h = pick(rng, {1, 3, 4, 5, 8}) * p.stride;
    p.w = pick(rng, {1, 2, 5, 7, 8, 16}) * p.stride;
    p.relu = pick(rng, {0, 1}) != 0;
    p.outputs = pick(rng, {1, 2, 3, 4});
    for (int o = 0; o < p.outputs; ++o) {
      p.c_out[o] = pick(rng, {1, 2, 5, 6, 8, 16, 18, 31, 36});
      p.offset[o] = p.stride == 1 ? 0 : pick(rng, {0, 1});
    }
    check(Conv1x1Case(p, pick(rng, {0, 1, 8, 64}), rng()));
  }
}

TEST_CASE("pointwise planes: unwanted gradients stay untouched") {
  for (const int stride : {1, 2}) {
    const Conv1x1Case c({3, 20, 6, 8, true, stride, 3, {6, 7, 12}, {0, stride - 1, 0}}, 2, 950);
    INFO(c.text());
    for (const unsigned dweight : {0u, 1u, 2u, 5u, 7u})
      for (const bool dx : {false, true}) check_backward(c, {dx, false, dweight});
  }
}

TEST_CASE("pointwise planes: the same bits in every run") {
  const Conv1x1Case c({7, 40, 12, 12, true, 1, 2, {18, 30}, {0, 0}}, 0, 960);
  with_threads([&] {
    const auto y = run_forward(c), gradients = run_backward(c, {});
    for (int repeat = 0; repeat < 3; ++repeat) {
      CHECK(run_forward(c) == y);
      CHECK(run_backward(c, {}) == gradients);
    }
  });
}

TEST_CASE("pointwise planes: the reference's gradients are those of its products") {
  for (const int stride : {1, 2}) {
    Conv1x1Case c({2, 3, 4, 2, true, stride, 2, {2, 3}, {0, stride - 1}}, 0, 970);
    for (double& v : c.x) v += v < 0 ? -0.1 : 0.1;  // away from where ReLU bends
    const auto loss = [&](const Doubles& x, const Conv1x1Case& at) {
      double sum = 0;
      for (int o = 0; o < c.p.outputs; ++o) sum += dot(at.forward(o, x, 0), c.dy[o]);
      return sum;
    };
    const Doubles dx = finite_differences([&](const Doubles& x) { return loss(x, c); }, c.x);
    CHECK(max_error(c.backward_data(false), dx) < 1e-9);
    for (int o = 0; o < c.p.outputs; ++o) {
      const Doubles dw = finite_differences(
          [&](const Doubles& w) {
            Conv1x1Case moved = c;
            moved.weight[o] = w;
            return loss(c.x, moved);
          },
          c.weight[o]);
      CHECK(max_error(c.backward_weight(o), dw) < 1e-9);
    }
  }
}
