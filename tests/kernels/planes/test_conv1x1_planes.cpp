// SPDX-License-Identifier: MIT
// 1x1 convolutions on planes against float64, their reference gradients against finite differences.
#include "tests/kernels/planes/conv1x1_reference.h"

using namespace drnas;
using namespace drnas::test;
using kernels::Conv1x1Planes;

namespace {

void check(Rng& rng, const Conv1x1Planes& p) {
  const Conv1x1Case c(rng, p);
  for (const bool accumulate : {false, true})
    check_conv1x1(OnCpu::any_layout(rng), c, {true, accumulate}, sum_tolerance);
}

/// Runs `body` with 1, 2, 3 threads.
template <class Body>
void with_threads(const Body& body) {
  for (const int count : {1, 2, 3}) {
    const Threads threads(count);
    CAPTURE(count);
    body();
  }
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
  auto rng = generator(900);
  with_threads([&] {
    for (const Conv1x1Planes& p : shapes)
      for (int layout = 0; layout < 2; ++layout) check(rng, p);
  });
}

TEST_CASE("pointwise planes: images of several blocks of pixels") {
  auto rng = generator(930);
  check(rng, {2, 150, 19, 17, true, 1, 2, {35, 8}, {0, 0}});
  check(rng, {1, 8, 2, 300, true, 1, 1, {150}, {0}});
  check(rng, {2, 130, 40, 44, true, 2, 2, {12, 12}, {0, 1}});
  check(rng, {1, 3, 4, 1200, false, 2, 2, {4, 5}, {1, 0}});
  check(rng, {1, 2500, 3, 7, true, 1, 1, {9}, {0}});
}

TEST_CASE("pointwise planes: random shapes") {
  auto rng = generator(940);
  for (int round = 0; round < 40; ++round)
    check(rng, random_conv1x1(rng, {{1, 2, 3, 4},
                                    {1, 2, 3, 4, 6, 9, 12, 16, 18, 33, 36, 64},
                                    {1, 2, 5, 6, 8, 16, 18, 31, 36},
                                    {1, 3, 4, 5, 8},
                                    {1, 2, 5, 7, 8, 16}}));
}

TEST_CASE("pointwise planes: unwanted gradients stay untouched") {
  auto rng = generator(950);
  for (const int stride : {1, 2}) {
    const Conv1x1Case c(rng, {3, 20, 6, 8, true, stride, 3, {6, 7, 12}, {0, stride - 1, 0}});
    for (const unsigned dweight : {0u, 1u, 2u, 5u, 7u})
      for (const bool dx : {false, true})
        check_conv1x1(OnCpu::any_layout(rng), c, {dx, false, dweight}, sum_tolerance);
  }
}

TEST_CASE("pointwise planes: the same bits in every run") {
  auto rng = generator(960);
  const Conv1x1Case c(rng, {7, 40, 12, 12, true, 1, 2, {18, 30}, {0, 0}});
  const auto forward = [&] { return OnCpu{}([&](auto& b) { return c.forward(b); }); };
  const auto backward = [&] { return OnCpu{}([&](auto& b) { return c.backward(b); }); };
  with_threads([&] {
    const Results y = forward(), gradients = backward();
    for (int repeat = 0; repeat < 3; ++repeat) {
      CHECK(forward() == y);
      CHECK(backward() == gradients);
    }
  });
}

TEST_CASE("pointwise planes: the reference's gradients are those of its products") {
  auto rng = generator(970);
  for (const int stride : {1, 2}) {
    Conv1x1Case c(rng, {2, 3, 4, 2, true, stride, 2, {2, 3}, {0, stride - 1}});
    for (double& v : c.x) v += v < 0 ? -0.1 : 0.1;  // away from where ReLU bends
    const auto loss = [&](const Doubles& x, const Conv1x1Case& at) {
      double sum = 0;
      for (int o = 0; o < c.p.outputs; ++o) sum += dot(conv1x1_forward(at, o, x), c.dy[o]);
      return sum;
    };
    const Doubles dx = finite_differences([&](const Doubles& x) { return loss(x, c); }, c.x);
    CHECK(max_error(conv1x1_backward_data(c, false), dx) < 1e-9);
    for (int o = 0; o < c.p.outputs; ++o) {
      const Doubles dw = finite_differences(
          [&](const Doubles& w) {
            Conv1x1Case moved = c;
            moved.weight[o] = w;
            return loss(c.x, moved);
          },
          c.weight[o]);
      CHECK(max_error(conv1x1_backward_weight(c, o), dw) < 1e-9);
    }
  }
}
