// SPDX-License-Identifier: MIT
// Pooling, pointwise, linear and loss kernels against float64, their gradients against finite
// differences.
#include "tests/cases/cross_entropy.h"
#include "tests/cases/elementwise.h"
#include "tests/cases/linear.h"
#include "tests/cases/pool2d.h"
#include "tests/support/calls.h"
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

double mean_loss(const CrossEntropyCase& c, const Doubles& z) {
  const kernels::CrossEntropy& p = c.p;
  double total = 0;
  for (int i = 0; i < p.n; ++i) {
    double sum = 0, mean = 0;
    for (int k = 0; k < p.classes; ++k) {
      sum += std::exp(z[i * p.classes + k]);
      mean += z[i * p.classes + k] / p.classes;
    }
    total +=
        std::log(sum) - (1 - p.smoothing) * z[i * p.classes + c.labels[i]] - p.smoothing * mean;
  }
  return total / p.n;
}

Doubles doubled(Doubles values) {
  for (double& v : values) v *= 2;
  return values;
}

}  // namespace

TEST_CASE("elementwise: sums of float32 and of float64 tables, in place too") {
  auto rng = generator(10);
  for (const int count : {1, 7, 300}) {
    ElementwiseCase c(rng, count);
    for (double& v : c.x) v += 1e-12;  // float32 would lose it
    for (const bool in_place : {false, true}) {
      const Doubles tables = OnCpu{}([&](auto& b) { return c.add<double>(b, in_place); }).at("y");
      const Doubles values = OnCpu{}([&](auto& b) { return c.add(b, in_place); }).at("y");
      for (std::size_t i = 0; i < c.x.size(); ++i) {
        CHECK(tables[i] == c.x[i] + c.dy[i]);
        CHECK(values[i] == static_cast<float>(c.x[i]) + static_cast<float>(c.dy[i]));
      }
    }
  }
}

TEST_CASE("pool2d: forward and gradient") {
  auto rng = generator(11);
  for (int trial = 0; trial < 24; ++trial) {
    Pool2dCase c(rng, {pick(rng, {1, 2, 3}), pick(rng, {3, 4, 7}), pick(rng, {3, 5, 8}),
                       pick(rng, {1, 2, 8, 17}), pick(rng, {2, 3}), pick(rng, {1, 2}),
                       pick(rng, {0, 1}), trial % 2 == 1});
    const OnCpu run = OnCpu::any_layout(rng);
    CHECK(max_error(run([&](auto& b) { return c.forward(b); }).at("y"), pool_reference(c.p, c.x)) <
          sum_tolerance(9));
    const auto loss = [&](const Doubles& x) { return dot(pool_reference(c.p, x), c.dy); };
    const Doubles gradient = finite_differences(loss, c.x, 1e-6);  // short: max pooling has kinks
    const Doubles dx = run([&](auto& b) { return c.backward(b, false); }).at("dx");
    CHECK(max_error(dx, gradient) < 1e-5);
    c.before = dx;
    CHECK(max_error(run([&](auto& b) { return c.backward(b, true); }).at("dx"), doubled(gradient)) <
          1e-5);
  }
}

TEST_CASE("pool2d: of equal maxima the first in row-major order takes the gradient") {
  auto rng = generator(16);
  Pool2dCase c(rng, {1, 2, 2, 1, 2, 2, 0, true});
  c.x = {1, 5, 5, 5};
  c.dy = {2};
  CHECK(OnCpu{}([&](auto& b) { return c.backward(b, false); }).at("dx") == Doubles{0, 2, 0, 0});
}

TEST_CASE("global_average: forward and gradient") {
  auto rng = generator(12);
  const GlobalAverageCase c(rng, 3, 35, 17);
  Doubles expected(c.dy.size(), 0.0), gradient(c.x.size());
  for (std::size_t i = 0; i < c.x.size(); ++i) {
    const std::size_t at = i / (35 * 17) * 17 + i % 17;
    expected[at] += c.x[i] / 35;
    gradient[i] = c.dy[at] / 35;
  }
  CHECK(max_error(OnCpu{}([&](auto& b) { return c.forward(b); }).at("y"), expected) <
        sum_tolerance(35));
  CHECK(max_error(OnCpu{}([&](auto& b) { return c.backward(b, false); }).at("dx"), gradient) <
        4 * float_epsilon);
}

TEST_CASE("pointwise: ReLU, its gradient at zero, sums, finiteness") {
  auto rng = generator(13);
  for (const int count : {1, 7, 64, 1003}) {
    ElementwiseCase c(rng, count);
    c.x[0] = 0;
    const OnCpu run = OnCpu::any_layout(rng);
    const Doubles y = run([&](auto& b) { return c.relu(b); }).at("y");
    const Doubles dx = run([&](auto& b) { return c.relu_backward(b, false); }).at("dx");
    const Doubles sum = run([&](auto& b) { return c.relu_backward(b, true); }).at("dx");
    const Doubles added = run([&](auto& b) { return c.add(b); }).at("y");
    for (int i = 0; i < count; ++i) {
      const double share = c.x[i] > 0 ? c.dy[i] : 0.0;
      CHECK(y[i] == std::max(0.0, c.x[i]));
      CHECK(dx[i] == share);
      CHECK(sum[i] == static_cast<float>(c.before[i] + share));
      CHECK(added[i] == static_cast<float>(c.x[i] + c.dy[i]));
    }
    Guarded in(c.x);
    CHECK(kernels::all_finite<Device::cpu>(count, in, nullptr));
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      Guarded spoilt(c.x);
      spoilt.data()[rng() % count] = bad;
      CHECK(!kernels::all_finite<Device::cpu>(count, spoilt, nullptr));
    }
  }
}

TEST_CASE("linear: forward and gradients") {
  auto rng = generator(14);
  for (int trial = 0; trial < 8; ++trial) {
    const kernels::Linear p{pick(rng, {1, 3, 64}), pick(rng, {1, 5, 64}), pick(rng, {1, 10, 13})};
    LinearCase c(rng, p);
    Doubles y(p.n * p.out), dx(p.n * p.in, 0.0), dw(p.out * p.in, 0.0), db(p.out, 0.0);
    for (int i = 0; i < p.n; ++i)
      for (int o = 0; o < p.out; ++o) {
        double sum = c.b[o];
        for (int k = 0; k < p.in; ++k) {
          sum += c.x[i * p.in + k] * c.w[o * p.in + k];
          dx[i * p.in + k] += c.dy[i * p.out + o] * c.w[o * p.in + k];
          dw[o * p.in + k] += c.dy[i * p.out + o] * c.x[i * p.in + k];
        }
        y[i * p.out + o] = sum;
        db[o] += c.dy[i * p.out + o];
      }
    const Results got = OnCpu{}([&](auto& b) { return c.backward(b, false); });
    CHECK(max_error(OnCpu{}([&](auto& b) { return c.forward(b); }).at("y"), y) <
          sum_tolerance(p.in));
    CHECK(max_error(got.at("dx"), dx) < sum_tolerance(p.out));
    CHECK(max_error(got.at("dw"), dw) < sum_tolerance(p.n));
    CHECK(max_error(got.at("db"), db) < sum_tolerance(p.n));
    c.dx = got.at("dx");
    CHECK(max_error(OnCpu{}([&](auto& b) { return c.backward(b, true); }).at("dx"), doubled(dx)) <
          sum_tolerance(p.out));
  }
}

TEST_CASE("cross_entropy: loss, gradient, hits") {
  auto rng = generator(15);
  for (const float smoothing : {0.0f, 0.1f})
    for (const int classes : {2, 3, 10, 100}) {
      CrossEntropyCase c(rng, 5, classes, smoothing, 3.0);
      c.scale = 1;
      const auto value = [&](const Doubles& z) { return mean_loss(c, z); };
      const Results r = OnCpu{}([&](auto& b) { return c.forward(b); });
      const double loss = r.at("result")[0];
      CHECK(r.at("loss")[0] == static_cast<float>(loss));
      CHECK(loss == doctest::Approx(value(c.logits)).epsilon(1e-7));
      CHECK(max_error(OnCpu{}([&](auto& b) { return c.backward(b); }).at("dlogits"),
                      finite_differences(value, c.logits)) < 1e-6);
      int top1 = 0, top5 = 0;
      for (int i = 0; i < c.p.n; ++i) {
        int larger = 0;
        for (int k = 0; k < classes; ++k)
          larger += c.logits[i * classes + k] > c.logits[i * classes + c.labels[i]];
        top1 += larger < 1;
        top5 += larger < 5;
      }
      CHECK(r.at("result")[1] == top1);
      CHECK(r.at("result")[2] == top5);
    }
}

TEST_CASE("cross_entropy: large logits stay finite, equal ones rank by index") {
  auto rng = generator(17);
  CrossEntropyCase c(rng, 2, 2, 0);
  c.logits = {1e4, -1e4, 0, 0};
  c.labels = {1, 1};
  const Results r = OnCpu{}([&](auto& b) { return c.forward(b); });
  CHECK(r.at("result")[0] == doctest::Approx((2e4 + std::log(2.0)) / 2));
  CHECK(r.at("result")[1] == 0);
  CHECK(r.at("result")[2] == 2);
}

TEST_CASE("cross_entropy: what is no number is no hit") {
  auto rng = generator(19);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CrossEntropyCase c(rng, 3, 10, 0);
  c.logits.assign(30, 0.0);
  for (int k = 0; k < 10; ++k) c.logits[k] = nan;  // a network that has diverged
  c.logits[10 + 2] = nan;                          // the label's
  c.logits[20 + 7] = nan;                          // another one
  c.logits[20 + 2] = 1;
  c.labels = {0, 2, 2};
  const Results r = OnCpu{}([&](auto& b) { return c.forward(b); });
  CHECK(std::isnan(r.at("result")[0]));
  CHECK(r.at("result")[1] == 0);
  CHECK(r.at("result")[2] == 1);
}

TEST_CASE("cross_entropy: a batch of one image, with equal logits and with those of +-1e4") {
  auto rng = generator(18);
  for (const int classes : {1, 2, 1000})
    for (const double smoothing : {0.0, 0.125}) {
      CAPTURE(classes);
      CrossEntropyCase c(rng, 1, classes, static_cast<float>(smoothing));
      c.scale = 1;
      c.labels = {0};
      const auto check = [&](double loss, const Doubles& shares) {
        CHECK(OnCpu{}([&](auto& b) { return c.forward(b); }).at("result")[0] ==
              doctest::Approx(loss).epsilon(1e-9));
        const Doubles dlogits = OnCpu{}([&](auto& b) { return c.backward(b); }).at("dlogits");
        const double other = smoothing / classes;
        for (int k = 0; k < classes; ++k)
          CHECK(std::abs(dlogits[k] - shares[k] + (k == 0 ? 1.0 - smoothing : 0.0) + other) < 1e-7);
      };
      for (const double level : {0.0, 1e4, -1e4}) {
        c.logits.assign(classes, level);
        check(std::log(classes), Doubles(classes, 1.0 / classes));
      }
      // The label has the largest logit of all, then the least.
      c.logits.assign(classes, -1e4);
      c.logits[0] = 1e4;
      Doubles shares(classes, 0.0);
      shares[0] = 1;
      check(smoothing * 2e4 * (classes - 1) / classes, shares);
      if (classes == 1) continue;
      for (double& v : c.logits) v = -v;
      shares.assign(classes, 1.0 / (classes - 1));
      shares[0] = 0;
      check(2e4 * (1 - smoothing + smoothing / classes) + std::log(classes - 1), shares);
    }
}
