// SPDX-License-Identifier: MIT
// Pooling: CUDA sources against the CPU twin, with tensors stored as T: float or bfloat16.
#include "tests/cases/pool2d.h"
#include "tests/cuda/bfloat16.h"
#include "tests/cuda/harness.h"

using namespace drnas;
using namespace drnas::test;
using kernels::Pool2d;

namespace {

/// Tensors that T holds exactly.
template <class T>
Pool2dCase random_case(Rng& rng, const Pool2d& p) {
  Pool2dCase c(rng, p);
  for (Doubles* tensor : {&c.x, &c.dy, &c.before}) *tensor = rounded<T>(*tensor);
  return c;
}

template <class T>
Doubles pool_on_device(const Pool2dCase& c, int shift = 0) {
  return OnDevice{every_image({shift})}([&](auto& b) { return c.forward<T>(b); }).at("y");
}
template <class T>
Doubles gradient_on_device(const Pool2dCase& c, bool accumulate, int shift = 0) {
  return OnDevice{every_image({shift})}([&](auto& b) { return c.backward<T>(b, accumulate); })
      .at("dx");
}
Doubles gradient_on_cpu(const Pool2dCase& c, bool accumulate) {
  return OnCpu{}([&](auto& b) { return c.backward(b, accumulate); }).at("dx");
}

template <class T>
void check(const Pool2dCase& c) {
  const Pool2d& p = c.p;
  CAPTURE(p.h);
  CAPTURE(p.w);
  CAPTURE(p.c);
  CAPTURE(p.kernel);
  CAPTURE(p.stride);
  CAPTURE(p.padding);
  CAPTURE(p.max);
  const Doubles y = OnCpu{}([&](auto& b) { return c.forward(b); }).at("y");
  const double tolerance = p.kernel * p.kernel * float_epsilon;  // so many terms at most
  const Doubles on_device = pool_on_device<T>(c);
  if (p.max)
    CHECK(same_bits(on_device, y));
  else
    check_each(on_device, y, storage_rounding<T>, tolerance * largest(y));
  for (const bool accumulate : {false, true}) {
    const Doubles expected = gradient_on_cpu(c, accumulate);
    check_each(gradient_on_device<T>(c, accumulate), expected, storage_rounding<T>,
               tolerance * largest(expected));
  }
}

}  // namespace

TEST_CASE_TEMPLATE("cuda: pool2d, average and max, whatever the shape", T, float, bfloat16) {
  auto rng = generator(31);
  const int channels[] = {1, 2, 3, 4, 6, 9, 12, 16, 18, 36};
  struct Form {
    int kernel, stride, padding;
  };
  const Form forms[] = {{3, 1, 1}, {3, 2, 1}, {2, 2, 0}, {3, 1, 0}, {5, 3, 2},
                        {1, 2, 0}, {3, 3, 1}, {5, 1, 2}, {2, 3, 1}, {3, 2, 0}};
  for (int i = 0; i < 60; ++i) {
    const Form f = i % 3 ? forms[i % 2] : forms[i / 3 % 10];
    const int least = f.kernel - 2 * f.padding, n = pick(rng, {1, 2, 3}),
              h = std::max(least, pick(rng, {1, 3, 4, 7, 8, 13})),
              w = std::max(least, pick(rng, {1, 3, 4, 7, 8, 13}));
    check<T>(random_case<T>(
        rng, {n, h, w, channels[i % 10], f.kernel, f.stride, f.padding, i / 2 % 2 == 1}));
  }
}

TEST_CASE_TEMPLATE(
    "cuda: pool2d, of equal maxima the first in row-major order, NaN never unless alone", T, float,
    bfloat16) {
  auto rng = generator(32);
  const double special[] = {0, 1, 1, -INFINITY};
  for (const int stride : {1, 2})
    for (const int channels : {1, 2, 8})
      for (const int padding : {0, 1}) {
        Pool2dCase c = random_case<T>(rng, {2, 9, 11, channels, 3, stride, padding, true});
        for (double& v : c.x) v = special[rng() % 4];
        check<T>(c);
      }
  Pool2dCase c(rng, {1, 4, 5, 4, 3, 1, 1, true});
  c.dy.assign(c.dy.size(), 1.0);
  for (double& v : c.x) v = rng() % 2 ? NAN : static_cast<double>(rng() % 3);
  CHECK(same_bits(gradient_on_device<T>(c, false), gradient_on_cpu(c, false)));
}

TEST_CASE_TEMPLATE("cuda: pool2d of arrays that spoil the alignment", T, float, bfloat16) {
  auto rng = generator(33);
  for (const bool max : {false, true}) {
    const Pool2dCase c = random_case<T>(rng, {2, 5, 6, 4, 3, 1, 1, max});
    CHECK(same_bits(pool_on_device<T>(c, 1), pool_on_device<T>(c)));
    CHECK(same_bits(gradient_on_device<T>(c, false, 1), gradient_on_device<T>(c, false)));
  }
}

TEST_CASE_TEMPLATE("cuda: global average and its gradient", T, float, bfloat16) {
  auto rng = generator(34);
  struct Shape {
    int n;
    std::int64_t pixels;
    int c;
  };
  for (const auto& [n, pixels, channels] : {Shape{3, 35, 17},
                                            {1, 1, 1},
                                            {2, 64, 64},
                                            {5, 49, 6},
                                            {2, 2049, 4},
                                            {2, 7, 260},
                                            {3, 300, 131}}) {
    CAPTURE(pixels);
    CAPTURE(channels);
    GlobalAverageCase c(rng, n, pixels, channels);
    for (Doubles* tensor : {&c.x, &c.before}) *tensor = rounded<T>(*tensor);
    Doubles mean(c.dy.size(), 0.0);
    for (std::size_t i = 0; i < c.x.size(); ++i)
      mean[i / (c.pixels * c.c) * c.c + i % c.c] += c.x[i] / static_cast<double>(c.pixels);
    const Results y = OnDevice{}([&](auto& b) { return c.forward<T>(b); });
    // Threads add at most pixels / 3 values near one; the result is of order 1 / sqrt(pixels).
    for (std::size_t i = 0; i < mean.size(); ++i)
      CHECK(std::abs(y.at("y")[i] - mean[i]) < 8 * float_epsilon);
    for (const bool accumulate : {false, true}) {
      const Doubles expected = OnCpu{}([&](auto& b) { return c.backward(b, accumulate); }).at("dx");
      const Results got = OnDevice{}([&](auto& b) { return c.backward<T>(b, accumulate); });
      check_each(got.at("dx"), expected, storage_rounding<T>,
                 2 * float_epsilon * largest(expected));
    }
  }
}
