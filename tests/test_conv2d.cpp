// SPDX-License-Identifier: MIT
#include "kernels/conv2d.h"

#include "tests/reference.h"

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
  return static_cast<std::int64_t>(kernels::conv2d_workspace<Device::cpu>(p, pass) / sizeof(float)) + 1;
}

}  // namespace

TEST_CASE("conv2d: the three passes against float64") {
  auto rng = generator(31);
  for (int trial = 0; trial < 16; ++trial) {
    const int kernel = pick(rng, {1, 3});
    const Conv2d p{pick(rng, {1, 2, 5}),         pick(rng, {3, 8, 9}), pick(rng, {4, 7, 8}),         pick(rng, {1, 3, 8, 16}),
                   pick(rng, {1, 5, 8, 16, 48}), kernel,               trial % 3 == 0 ? 2 : 1, kernel / 2};
    if (p.kernel == 1 && p.stride == 2 && p.c_in < 8) continue;  // refused, see below
    CAPTURE(p.c_in);
    CAPTURE(p.c_out);
    CAPTURE(p.stride);
    const std::int64_t x_count = std::int64_t{p.n} * p.h * p.w * p.c_in,
                       y_count = std::int64_t{p.n} * p.out_h() * p.out_w() * p.c_out;
    const Doubles x = normals(rng, x_count), w = normals(rng, p.weight_count()), dy = normals(rng, y_count);
    Doubles y(y_count, 0.0), dx(x_count, 0.0), dw(p.weight_count(), 0.0);
    each_product(p, [&](std::size_t at_x, std::size_t at_w, std::size_t at_y) {
      y[at_y] += x[at_x] * w[at_w];
      dx[at_x] += dy[at_y] * w[at_w];
      dw[at_w] += dy[at_y] * x[at_x];
    });
    Guarded in(x), weight(w), g(dy), out(y_count), gx(x_count), gw(p.weight_count());
    Guarded forward(floats(p, ConvPass::forward)), data(floats(p, ConvPass::backward_data)),
        weights(floats(p, ConvPass::backward_weight));
    kernels::conv2d_forward<Device::cpu>(p, in, weight, out, forward.data(), nullptr);
    kernels::conv2d_backward_data<Device::cpu>(p, g, weight, gx, data.data(), nullptr);
    kernels::conv2d_backward_weight<Device::cpu>(p, in, g, gw, weights.data(), nullptr);
    const double taps = p.kernel * p.kernel;
    CHECK(max_error(out.doubles(), y) < sum_tolerance(taps * p.c_in));
    CHECK(max_error(gx.doubles(), dx) < sum_tolerance(taps * p.c_out));
    CHECK(max_error(gw.doubles(), dw) < sum_tolerance(static_cast<double>(p.n) * p.out_h() * p.out_w()));
  }
}

TEST_CASE("conv2d: a shape that the library gets wrong is refused") {
  CHECK_THROWS_AS(kernels::conv2d_workspace<Device::cpu>({2, 8, 8, 3, 16, 1, 2, 0}, ConvPass::backward_weight), Error);
}
