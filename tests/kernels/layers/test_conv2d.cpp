// SPDX-License-Identifier: MIT
#include "kernels/layers/conv2d.h"

#include <optional>

#include "tests/kernels/bundle/node_reference.h"

using namespace drnas;
using namespace drnas::test;
using kernels::Conv2d;
using kernels::ConvPass;

namespace {

/// Calls body(x index, weight index, y index) for every product of the convolution.
template <class Body>
void each_product(const Conv2d& p, const Body& body) {
  for (int n = 0; n < p.n; ++n)
    for (int i = 0; i < p.out_h(); ++i)
      for (int j = 0; j < p.out_w(); ++j)
        for (int a = 0; a < p.kernel; ++a)
          for (int b = 0; b < p.kernel; ++b) {
            const int u = i * p.stride + a - p.padding, v = j * p.stride + b - p.padding;
            if (u < 0 || v < 0 || u >= p.h || v >= p.w) continue;
            for (int o = 0; o < p.c_out; ++o)
              for (int k = 0; k < p.c_in; ++k)
                body(((std::size_t(n) * p.h + u) * p.w + v) * p.c_in + k,
                     ((std::size_t(o) * p.kernel + a) * p.kernel + b) * p.c_in + k,
                     ((std::size_t(n) * p.out_h() + i) * p.out_w() + j) * p.c_out + o);
          }
}

std::int64_t floats(const Conv2d& p, ConvPass pass) {
  return exact_floats(kernels::conv2d_workspace<Device::cpu>(p, pass));
}

/// The three passes, each in a workspace of exactly the size it asks for.
struct Passes {
  std::vector<float> y, dx, dw;
  bool operator==(const Passes&) const = default;

  Passes(const Conv2d& p, const Doubles& x_values, const Doubles& w_values,
         const Doubles& dy_values) {
    Guarded x(x_values), w(w_values), dy(dy_values);
    Guarded out(static_cast<std::int64_t>(dy_values.size())),
        gx(static_cast<std::int64_t>(x_values.size())), gw(p.weight_count());
    Guarded forward(floats(p, ConvPass::forward)), data(floats(p, ConvPass::backward_data)),
        weights(floats(p, ConvPass::backward_weight));
    kernels::conv2d_forward<Device::cpu>(p, x, w, out, forward.data(), nullptr);
    kernels::conv2d_backward_data<Device::cpu>(p, dy, w, gx, data.data(), nullptr);
    kernels::conv2d_backward_weight<Device::cpu>(p, x, dy, gw, weights.data(), nullptr);
    y = out.floats();
    dx = gx.floats();
    dw = gw.floats();
  }
};

Doubles doubles(const std::vector<float>& values) { return Doubles(values.begin(), values.end()); }

}  // namespace

TEST_CASE("conv2d: the three passes against float64") {
  auto rng = generator(31);
  for (int trial = 0; trial < 60; ++trial) {
    const int kernel = pick(rng, {1, 3});
    const Conv2d p{pick(rng, {1, 2, 5}),
                   pick(rng, {1, 3, 8, 9}),
                   pick(rng, {1, 4, 7, 8}),
                   pick(rng, {1, 3, 8, 16, 48}),
                   pick(rng, {1, 3, 5, 8, 16, 48}),
                   kernel,
                   trial % 3 == 0 ? 2 : 1,
                   kernel / 2};
    if (p.kernel == 1 && p.stride == 2 && p.c_in < 8) continue;  // refused, see below
    CAPTURE(p.n);
    CAPTURE(p.h);
    CAPTURE(p.w);
    CAPTURE(p.kernel);
    CAPTURE(p.c_in);
    CAPTURE(p.c_out);
    CAPTURE(p.stride);
    const std::int64_t x_count = std::int64_t{p.n} * p.h * p.w * p.c_in,
                       y_count = std::int64_t{p.n} * p.out_h() * p.out_w() * p.c_out;
    const Doubles x = normals(rng, x_count), w = normals(rng, p.weight_count()),
                  dy = normals(rng, y_count);
    Bounded y(y_count), dx(x_count), dw(p.weight_count());
    each_product(p, [&](std::size_t at_x, std::size_t at_w, std::size_t at_y) {
      y.add(at_y, x[at_x] * w[at_w]);
      dx.add(at_x, dy[at_y] * w[at_w]);
      dw.add(at_w, dy[at_y] * x[at_x]);
    });
    const Passes got(p, x, w, dy);
    CHECK(got == Passes(p, x, w, dy));
    const double taps = p.kernel * p.kernel;
    // One rounding a product and one an addition.
    CHECK(roundings(doubles(got.y), y) <= taps * p.c_in + 1);
    CHECK(roundings(doubles(got.dx), dx) <= taps * p.c_out + 1);
    CHECK(roundings(doubles(got.dw), dw) <= static_cast<double>(p.n) * p.out_h() * p.out_w() + 1);
  }
}

TEST_CASE("conv2d: repeats bit by bit; forward and data gradients with any thread count") {
  auto rng = generator(32);
  for (const Conv2d& p : {Conv2d{5, 9, 7, 16, 48, 3, 1, 1}, Conv2d{3, 8, 8, 8, 16, 3, 2, 1},
                          Conv2d{4, 7, 5, 16, 8, 1, 1, 0}}) {
    const Doubles x = normals(rng, std::int64_t{p.n} * p.h * p.w * p.c_in),
                  w = normals(rng, p.weight_count()),
                  dy = normals(rng, std::int64_t{p.n} * p.out_h() * p.out_w() * p.c_out);
    std::optional<Passes> first;
    for (int threads = 1; threads <= 3; ++threads) {
      const Threads scope(threads);
      const Passes passes(p, x, w, dy);
      CHECK(passes == Passes(p, x, w, dy));
      if (!first) first = passes;
      CHECK(passes.y == first->y);
      CHECK(passes.dx == first->dx);
    }
  }
}

TEST_CASE("conv2d: a shape that the library gets wrong is refused") {
  CHECK_THROWS_AS(
      kernels::conv2d_workspace<Device::cpu>({2, 8, 8, 3, 16, 1, 2, 0}, ConvPass::backward_weight),
      Error);
}
