// SPDX-License-Identifier: MIT
// Pooling, pointwise, linear and loss kernels against float64, their gradients against finite
// differences.
#include <omp.h>

#include "kernels/layers/linear.h"
#include "kernels/layers/pool2d.h"
#include "kernels/train/cross_entropy.h"
#include "kernels/train/elementwise.h"
#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;

namespace {

Doubles pool_reference(const kernels::Pool2d& p, const Doubles& x) {
  Doubles y;
  for (int n = 0; n < p.n; ++n)
    for (int i = 0; i < p.out_h(); ++i)
      for (int j = 0; j < p.out_w(); ++j)
        for (int c = 0; c < p.c; ++c) {
          double sum = 0, largest = -INFINITY, count = 0;
          for (int a = 0; a < p.kernel; ++a)
            for (int b = 0; b < p.kernel; ++b) {
              const int u = i * p.stride + a - p.padding, v = j * p.stride + b - p.padding;
              if (u < 0 || v < 0 || u >= p.h || v >= p.w) continue;
              const double value = x[((std::size_t(n) * p.h + u) * p.w + v) * p.c + c];
              sum += value;
              largest = std::max(largest, value);
              count += 1;
            }
          y.push_back(p.max ? largest : sum / count);
        }
  return y;
}

Doubles log_softmax_loss_gradient(const kernels::CrossEntropy& p, const Doubles& logits,
                                  const std::vector<int>& labels, double& loss) {
  const auto value = [&](const Doubles& z) {
    double total = 0;
    for (int i = 0; i < p.n; ++i) {
      double sum = 0, mean = 0;
      for (int k = 0; k < p.classes; ++k) {
        sum += std::exp(z[i * p.classes + k]);
        mean += z[i * p.classes + k] / p.classes;
      }
      total +=
          std::log(sum) - (1 - p.smoothing) * z[i * p.classes + labels[i]] - p.smoothing * mean;
    }
    return total / p.n;
  };
  loss = value(logits);
  return finite_differences(value, logits);
}

}  // namespace

TEST_CASE("pool2d: forward and gradient") {
  auto rng = generator(11);
  for (int trial = 0; trial < 24; ++trial) {
    kernels::Pool2d p{pick(rng, {1, 2, 3}),     pick(rng, {3, 4, 7}), pick(rng, {3, 5, 8}),
                      pick(rng, {1, 2, 8, 17}), pick(rng, {2, 3}),    pick(rng, {1, 2}),
                      pick(rng, {0, 1}),        trial % 2 == 1};
    const Doubles x = normals(rng, std::int64_t{p.n} * p.h * p.w * p.c);
    const Doubles expected = pool_reference(p, x);
    Guarded in(x), y(static_cast<std::int64_t>(expected.size()));
    kernels::pool2d_forward<Device::cpu>(p, in, y, nullptr);
    CHECK(max_error(y.doubles(), expected) < sum_tolerance(9));
    const Doubles dy = normals(rng, static_cast<std::int64_t>(expected.size()));
    const auto loss = [&](const Doubles& v) { return dot(pool_reference(p, v), dy); };
    const Doubles gradient = finite_differences(loss, x, 1e-6);  // short: max pooling has kinks
    Guarded g(dy), dx(static_cast<std::int64_t>(x.size()));
    kernels::pool2d_backward<Device::cpu>(p, in, g, dx, false, nullptr);
    CHECK(max_error(dx.doubles(), gradient) < 1e-5);
    kernels::pool2d_backward<Device::cpu>(p, in, g, dx, true, nullptr);
    Doubles twice = gradient;
    for (double& v : twice) v *= 2;
    CHECK(max_error(dx.doubles(), twice) < 1e-5);
  }
}

TEST_CASE("pool2d: of equal maxima the first in row-major order takes the gradient") {
  const kernels::Pool2d p{1, 2, 2, 1, 2, 2, 0, true};
  Guarded x(Doubles{1, 5, 5, 5}), dy(Doubles{2}), dx(4);
  kernels::pool2d_backward<Device::cpu>(p, x, dy, dx, false, nullptr);
  CHECK(dx.doubles() == Doubles{0, 2, 0, 0});
}

TEST_CASE("global_average: forward and gradient") {
  auto rng = generator(12);
  const int n = 3, c = 17;
  const std::int64_t pixels = 35;
  const Doubles x = normals(rng, n * pixels * c), dy = normals(rng, n * c);
  Doubles expected(n * c, 0.0), gradient(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t at = i / (pixels * c) * c + i % c;
    expected[at] += x[i] / pixels;
    gradient[i] = dy[at] / pixels;
  }
  Guarded in(x), y(n * c), g(dy), dx(static_cast<std::int64_t>(x.size()));
  kernels::global_average_forward<Device::cpu>(n, pixels, c, in, y, nullptr);
  CHECK(max_error(y.doubles(), expected) < sum_tolerance(pixels));
  kernels::global_average_backward<Device::cpu>(n, pixels, c, g, dx, false, nullptr);
  CHECK(max_error(dx.doubles(), gradient) < 4 * float_epsilon);
}

TEST_CASE("pointwise: ReLU, its gradient at zero, sums, finiteness") {
  auto rng = generator(13);
  for (const int count : {1, 7, 64, 1003}) {
    Doubles x = normals(rng, count), dy = normals(rng, count);
    x[0] = 0;
    Guarded in(x), g(dy), y(count), dx(count);
    kernels::relu_forward<Device::cpu>(count, in, y, nullptr);
    kernels::relu_backward<Device::cpu>(count, in, g, dx, false, nullptr);
    for (int i = 0; i < count; ++i) {
      CHECK(y.data()[i] == static_cast<float>(std::max(0.0, x[i])));
      CHECK(dx.data()[i] == static_cast<float>(x[i] > 0 ? dy[i] : 0.0));
    }
    kernels::relu_backward<Device::cpu>(count, in, g, dx, true, nullptr);
    for (int i = 0; i < count; ++i)
      CHECK(dx.data()[i] == static_cast<float>(x[i] > 0 ? 2 * dy[i] : 0.0));
    kernels::add<Device::cpu>(count, in, g, y, nullptr);
    for (int i = 0; i < count; ++i)
      CHECK(y.data()[i] == static_cast<float>(x[i]) + static_cast<float>(dy[i]));
    CHECK(kernels::all_finite<Device::cpu>(count, in, nullptr));
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      Guarded spoilt(x);
      spoilt.data()[rng() % count] = bad;
      CHECK(!kernels::all_finite<Device::cpu>(count, spoilt, nullptr));
    }
  }
}

TEST_CASE("linear: forward and gradients") {
  auto rng = generator(14);
  for (int trial = 0; trial < 8; ++trial) {
    const kernels::Linear p{pick(rng, {1, 3, 64}), pick(rng, {1, 5, 64}), pick(rng, {1, 10, 13})};
    const Doubles x = normals(rng, p.n * p.in), w = normals(rng, p.out * p.in),
                  b = normals(rng, p.out), dy = normals(rng, p.n * p.out);
    Doubles y(p.n * p.out), dx(p.n * p.in, 0.0), dw(p.out * p.in, 0.0), db(p.out, 0.0);
    for (int i = 0; i < p.n; ++i)
      for (int o = 0; o < p.out; ++o) {
        double sum = b[o];
        for (int k = 0; k < p.in; ++k) {
          sum += x[i * p.in + k] * w[o * p.in + k];
          dx[i * p.in + k] += dy[i * p.out + o] * w[o * p.in + k];
          dw[o * p.in + k] += dy[i * p.out + o] * x[i * p.in + k];
        }
        y[i * p.out + o] = sum;
        db[o] += dy[i * p.out + o];
      }
    Guarded in(x), weight(w), bias(b), g(dy), out(p.n * p.out), gx(p.n * p.in), gw(p.out * p.in),
        gb(p.out);
    kernels::linear_forward<Device::cpu>(p, in, weight, bias, out, nullptr);
    kernels::linear_backward_data<Device::cpu>(p, g, weight, gx, false, nullptr);
    kernels::linear_backward_weight<Device::cpu>(p, in, g, gw, gb, nullptr);
    CHECK(max_error(out.doubles(), y) < sum_tolerance(p.in));
    CHECK(max_error(gx.doubles(), dx) < sum_tolerance(p.out));
    CHECK(max_error(gw.doubles(), dw) < sum_tolerance(p.n));
    CHECK(max_error(gb.doubles(), db) < sum_tolerance(p.n));
    kernels::linear_backward_data<Device::cpu>(p, g, weight, gx, true, nullptr);
    for (double& v : dx) v *= 2;
    CHECK(max_error(gx.doubles(), dx) < sum_tolerance(p.out));
  }
}

TEST_CASE("cross_entropy: loss, gradient, hits") {
  auto rng = generator(15);
  for (const float smoothing : {0.0f, 0.1f})
    for (const int classes : {2, 3, 10, 100}) {
      const kernels::CrossEntropy p{5, classes, smoothing};
      const Doubles logits = normals(rng, p.n * classes, 3.0);
      std::vector<int> labels;
      for (int i = 0; i < p.n; ++i) labels.push_back(static_cast<int>(rng() % classes));
      double loss;
      const Doubles gradient = log_softmax_loss_gradient(p, logits, labels, loss);
      Guarded in(logits), g(p.n * classes);
      kernels::CrossEntropyResult r;
      float float_loss = 0;
      const float scale = 1;
      kernels::cross_entropy_forward<Device::cpu>(p, in, labels.data(), &r, &float_loss, nullptr);
      kernels::cross_entropy_backward<Device::cpu>(p, in, labels.data(), &scale, g, nullptr);
      CHECK(float_loss == static_cast<float>(r.loss));
      CHECK(r.loss == doctest::Approx(loss).epsilon(1e-7));
      CHECK(max_error(g.doubles(), gradient) < 1e-6);
      int top1 = 0, top5 = 0;
      for (int i = 0; i < p.n; ++i) {
        int larger = 0;
        for (int k = 0; k < classes; ++k)
          larger += logits[i * classes + k] > logits[i * classes + labels[i]];
        top1 += larger < 1;
        top5 += larger < 5;
      }
      CHECK(r.top1 == top1);
      CHECK(r.top5 == top5);
    }
}

TEST_CASE("cross_entropy: large logits stay finite, equal ones rank by index") {
  const kernels::CrossEntropy p{2, 2, 0};
  Guarded logits(Doubles{1e4, -1e4, 0, 0});
  const std::int32_t labels[] = {1, 1};
  kernels::CrossEntropyResult r;
  float float_loss = 0;
  kernels::cross_entropy_forward<Device::cpu>(p, logits, labels, &r, &float_loss, nullptr);
  CHECK(r.loss == doctest::Approx((2e4 + std::log(2.0)) / 2));
  CHECK(r.top1 == 0);
  CHECK(r.top5 == 2);
}
