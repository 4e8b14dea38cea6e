// SPDX-License-Identifier: MIT
// Pooling: CUDA sources against the CPU twin, with tensors stored as T: float or bfloat16.
#include "kernels/layers/pool2d.h"

#include <limits>

#include "tests/cuda/bfloat16.h"
#include "tests/cuda/harness.h"

using namespace drnas;
using namespace drnas::test;
using kernels::Pool2d;

namespace {

constexpr double float_epsilon = 0x1p-23;

std::size_t input_size(const Pool2d& p) { return std::size_t(p.n) * p.h * p.w * p.c; }
std::size_t output_size(const Pool2d& p) { return std::size_t(p.n) * p.out_h() * p.out_w() * p.c; }

template <class T>
std::vector<float> pool_on_device(const Pool2d& p, const std::vector<float>& x) {
  return in_every_order([&] {
    const DeviceArray<T> in(stored<T>(x)), y(output_size(p));
    kernels::pool2d_forward<Device::cuda>(p, in, y, nullptr);
    return widened(y.read());
  });
}

/// Gradient that overwrites; or, where `before` is not empty, adds to it.
template <class T>
std::vector<float> gradient_on_device(const Pool2d& p, const std::vector<float>& x,
                                      const std::vector<float>& dy,
                                      const std::vector<float>& before) {
  return in_every_order([&] {
    const DeviceArray<T> in(stored<T>(x)), d(stored<T>(dy)),
        dx(stored<T>(before.empty() ? std::vector<float>(x.size(), NAN) : before));
    kernels::pool2d_backward<Device::cuda>(p, p.max ? in.data() : nullptr, d, dx, !before.empty(),
                                           nullptr);
    return widened(dx.read());
  });
}

std::vector<float> gradient_on_cpu(const Pool2d& p, const std::vector<float>& x,
                                   const std::vector<float>& dy, std::vector<float> dx) {
  const bool accumulate = !dx.empty();
  dx.resize(x.size());
  kernels::pool2d_backward<Device::cpu>(p, x.data(), dy.data(), dx.data(), accumulate, nullptr);
  return dx;
}

template <class T>
void check(const Pool2d& p, std::mt19937& engine, const std::vector<float>& any) {
  CAPTURE(p.h);
  CAPTURE(p.w);
  CAPTURE(p.c);
  CAPTURE(p.kernel);
  CAPTURE(p.stride);
  CAPTURE(p.padding);
  CAPTURE(p.max);
  const auto x = rounded<T>(any), dy = rounded<T>(normals(engine, output_size(p))),
             before = rounded<T>(normals(engine, x.size()));
  std::vector<float> y(output_size(p));
  kernels::pool2d_forward<Device::cpu>(p, x.data(), y.data(), nullptr);
  const double tolerance = p.kernel * p.kernel * float_epsilon;  // so many terms at most
  const auto on_device = pool_on_device<T>(p, x);
  if (p.max)
    CHECK(same_bits(on_device, y));
  else
    check_each(on_device, y, storage_rounding<T>, tolerance * largest(y));
  for (const auto& dx : {std::vector<float>(), before}) {
    const auto expected = gradient_on_cpu(p, x, dy, dx);
    check_each(gradient_on_device<T>(p, x, dy, dx), expected, storage_rounding<T>,
               tolerance * largest(expected));
  }
}

}  // namespace

TEST_CASE_TEMPLATE("cuda: pool2d, average and max, whatever the shape", T, float, bfloat16) {
  auto engine = random_engine(31);
  const int sizes[] = {1, 3, 4, 7, 8, 13}, channels[] = {1, 2, 3, 4, 6, 9, 12, 16, 18, 36};
  struct Form {
    int kernel, stride, padding;
  };
  const Form forms[] = {{3, 1, 1}, {3, 2, 1}, {2, 2, 0}, {3, 1, 0}, {5, 3, 2},
                        {1, 2, 0}, {3, 3, 1}, {5, 1, 2}, {2, 3, 1}, {3, 2, 0}};
  for (int i = 0; i < 60; ++i) {
    const Form f = i % 3 ? forms[i % 2] : forms[i / 3 % 10];
    Pool2d p{1 + static_cast<int>(engine() % 3),
             sizes[engine() % 6],
             sizes[engine() % 6],
             channels[i % 10],
             f.kernel,
             f.stride,
             f.padding,
             i / 2 % 2 == 1};
    p.h = std::max(p.h, p.kernel - 2 * p.padding);
    p.w = std::max(p.w, p.kernel - 2 * p.padding);
    check<T>(p, engine, normals(engine, input_size(p)));
  }
}

TEST_CASE_TEMPLATE(
    "cuda: pool2d, of equal maxima the first in row-major order, NaN never unless alone", T, float,
    bfloat16) {
  auto engine = random_engine(32);
  const float special[] = {0.0f, 1.0f, 1.0f, -std::numeric_limits<float>::infinity()};
  for (const int stride : {1, 2})
    for (const int channels : {1, 2, 8})
      for (const int padding : {0, 1}) {
        const Pool2d p{2, 9, 11, channels, 3, stride, padding, true};
        std::vector<float> x(input_size(p));
        for (float& v : x) v = special[engine() % 4];
        check<T>(p, engine, x);
      }
  const Pool2d p{1, 4, 5, 4, 3, 1, 1, true};
  std::vector<float> x(input_size(p)), dy(output_size(p), 1.0f);
  for (float& v : x) v = engine() % 2 ? NAN : static_cast<float>(engine() % 3);
  CHECK(same_bits(gradient_on_device<T>(p, x, dy, {}), gradient_on_cpu(p, x, dy, {})));
}

TEST_CASE_TEMPLATE("cuda: pool2d of arrays that spoil the alignment", T, float, bfloat16) {
  auto engine = random_engine(33);
  for (const bool max : {false, true}) {
    const Pool2d p{2, 5, 6, 4, 3, 1, 1, max};
    const auto x = rounded<T>(normals(engine, input_size(p))),
               dy = rounded<T>(normals(engine, output_size(p)));
    const auto shifted = [](std::vector<float> values) {
      values.insert(values.begin(), 1.0f);
      return values;
    };
    const auto expected = pool_on_device<T>(p, x), gradient = gradient_on_device<T>(p, x, dy, {});
    const auto got = in_every_order([&] {
      const auto array = [&](const std::vector<float>& values) {
        return stored<T>(shifted(values));
      };
      const DeviceArray<T> in(array(x)), d(array(dy)), y(array(dy)), dx(array(x));
      kernels::pool2d_forward<Device::cuda>(p, in + 1, y + 1, nullptr);
      kernels::pool2d_backward<Device::cuda>(p, in + 1, d + 1, dx + 1, false, nullptr);
      auto both = widened(y.read());
      const auto second = widened(dx.read());
      both.insert(both.end(), second.begin(), second.end());
      return both;
    });
    auto both = shifted(expected);
    const auto second = shifted(gradient);
    both.insert(both.end(), second.begin(), second.end());
    CHECK(same_bits(got, both));
  }
}

TEST_CASE_TEMPLATE("cuda: global average and its gradient", T, float, bfloat16) {
  auto engine = random_engine(34);
  struct Shape {
    int n;
    std::int64_t pixels;
    int c;
  };
  for (const auto& [n, pixels, c] : {Shape{3, 35, 17},
                                     {1, 1, 1},
                                     {2, 64, 64},
                                     {5, 49, 6},
                                     {2, 2049, 4},
                                     {2, 7, 260},
                                     {3, 300, 131}}) {
    CAPTURE(pixels);
    CAPTURE(c);
    const auto x = rounded<T>(normals(engine, n * pixels * c)), dy = normals(engine, n * c),
               before = rounded<T>(normals(engine, x.size()));
    std::vector<double> mean(n * c);
    for (std::size_t i = 0; i < x.size(); ++i)
      mean[i / (pixels * c) * c + i % c] += static_cast<double>(x[i]) / pixels;
    const auto y = in_every_order([&, n = n, pixels = pixels, c = c] {
      const DeviceArray<T> in(stored<T>(x));
      const DeviceArray<float> out(n * c);
      kernels::global_average_forward<Device::cuda>(n, pixels, c, in, out, nullptr);
      return out.read();
    });
    // Threads add at most pixels / 3 values near one; the result is of order 1 / sqrt(pixels).
    for (std::size_t i = 0; i < y.size(); ++i) CHECK(std::abs(y[i] - mean[i]) < 8 * float_epsilon);
    for (const bool accumulate : {false, true}) {
      auto expected = accumulate ? before : std::vector<float>(x.size());
      kernels::global_average_backward<Device::cpu>(n, pixels, c, dy.data(), expected.data(),
                                                    accumulate, nullptr);
      const auto dx = in_every_order([&, n = n, pixels = pixels, c = c] {
        const DeviceArray<float> d(dy);
        const DeviceArray<T> out(
            stored<T>(accumulate ? before : std::vector<float>(x.size(), NAN)));
        kernels::global_average_backward<Device::cuda>(n, pixels, c, d, out, accumulate, nullptr);
        return widened(out.read());
      });
      check_each(dx, expected, storage_rounding<T>, 2 * float_epsilon * largest(expected));
    }
  }
}
