// SPDX-License-Identifier: MIT
// Norms, optimizers and row softmax: the CUDA kernels against the CPU twins.
#include <algorithm>
#include <limits>

#include "kernels/alpha/softmax_rows.h"
#include "kernels/train/optimizer.h"
#include "tests/cuda/bfloat16.h"
#include "tests/cuda/harness.h"

using namespace drnas;
using namespace drnas::test;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

std::vector<double> double_normals(std::mt19937& engine, std::size_t count) {
  std::normal_distribution<double> draw;
  std::vector<double> values(count);
  for (double& v : values) v = draw(engine);
  return values;
}

/// Squared norm on the device of all values but the first `skipped`.
double device_norm(const std::vector<float>& values, int skipped,
                   const std::vector<double>& extra) {
  return in_every_order([&] {
    const DeviceArray<float> v(values);
    const DeviceArray<double> e(extra.empty() ? std::vector<double>(1) : extra), total(1);
    const kernels::SquaredNorm p{static_cast<std::int64_t>(values.size()) - skipped, v + skipped,
                                 static_cast<std::int64_t>(extra.size()),
                                 extra.empty() ? nullptr : e.data(), total};
    const std::size_t bytes = kernels::squared_norm_workspace<Device::cuda>(p);
    const DeviceBytes workspace(std::max<std::size_t>(bytes, 1));
    kernels::squared_norm<Device::cuda>(p, workspace, nullptr);
    return total.read();
  })[0];
}

template <class T>
double dot(const std::vector<T>& x, int skipped = 0) {
  double sum = 0;
  for (std::size_t i = skipped; i < x.size(); ++i) sum += double(x[i]) * x[i];
  return sum;
}

}  // namespace

TEST_CASE("cuda: squared_norm counts every value once") {
  // Sums of squares of small integers are exact in any order. The last buffer is larger than the
  // largest grid takes at once.
  auto engine = random_engine(41);
  for (const int count : {1, 3, 4, 7, 1023, 1026, 4096, 4099, 70001, 512 * 4096 + 5000}) {
    CAPTURE(count);
    std::vector<float> values(count);
    for (float& v : values) v = static_cast<float>(1 + engine() % 7);
    std::vector<double> extra(count % 300);
    for (double& v : extra) v = static_cast<double>(1 + engine() % 7);
    CHECK(device_norm(values, 0, extra) == dot(values) + dot(extra));
    if (count < 10000)
      CHECK(device_norm(values, 1, {}) == dot(values, 1));  // not aligned for quads
  }
  CHECK(device_norm({1}, 1, {3, 4}) == 25);  // float64 values alone
}

TEST_CASE("cuda: squared_norm of random values, and of values that are not finite") {
  auto engine = random_engine(42);
  std::vector<float> values = normals(engine, 20011);
  const std::vector<double> extra = double_normals(engine, 30);
  // At most 16 squares and 16 sums in float32, all of one sign.
  const double expected = dot(values) + dot(extra);
  CHECK(std::abs(device_norm(values, 0, extra) - expected) <= 17 * 0x1p-24 * expected);
  values[20010] = std::numeric_limits<float>::quiet_NaN();
  CHECK(std::isnan(device_norm(values, 0, extra)));
  values[20010] = -std::numeric_limits<float>::infinity();
  CHECK(device_norm(values, 0, extra) == infinity);
}

namespace {

struct SgdCase {
  int count;
  double squared_norm, max_norm;
  int skipped[4];  // first values of weights, velocity, gradient and copy that do not take part
  bool copies = true;
  bool nesterov = false;
};

void compare_sgd(std::mt19937& engine, const SgdCase& c) {
  CAPTURE(c.count);
  CAPTURE(c.squared_norm);
  const double rate = 0.025;
  const float momentum = 0.9f, decay = 3e-4f;
  const std::vector<float> w = normals(engine, c.count + c.skipped[0]),
                           v = normals(engine, c.count + c.skipped[1]),
                           g = normals(engine, c.count + c.skipped[2]);
  std::vector<float> expected_w = w, expected_v = v;
  kernels::sgd_step<Device::cpu>(
      {c.count, &rate, &c.squared_norm, c.max_norm, momentum, decay,
       expected_w.data() + c.skipped[0], expected_v.data() + c.skipped[1], g.data() + c.skipped[2],
       nullptr, c.nesterov},
      nullptr);
  const std::vector<float> old_copy(c.count + c.skipped[3], 7.0f);
  const auto got = in_every_order([&] {
    const DeviceArray<float> weights(w), velocity(v), gradient(g);
    const DeviceArray<double> scalars(std::vector<double>{rate, c.squared_norm});
    const DeviceArray<bfloat16> rounded(stored<bfloat16>(old_copy));
    kernels::sgd_step<Device::cuda>(
        {c.count, scalars, scalars + 1, c.max_norm, momentum, decay, weights + c.skipped[0],
         velocity + c.skipped[1], gradient + c.skipped[2],
         c.copies ? rounded + c.skipped[3] : nullptr, c.nesterov},
        nullptr);
    std::vector<float> all = weights.read();
    for (const auto& part : {velocity.read(), widened(rounded.read())})
      all.insert(all.end(), part.begin(), part.end());
    return all;
  });
  const std::vector<float> got_w(got.begin(), got.begin() + w.size()),
      got_v(got.begin() + w.size(), got.begin() + w.size() + v.size()),
      got_copy(got.begin() + w.size() + v.size(), got.end());
  std::vector<float> expected_copy = old_copy;
  if (c.copies && std::isfinite(c.squared_norm))
    for (int i = 0; i < c.count; ++i)
      expected_copy[c.skipped[3] + i] = bfloat16(got_w[c.skipped[0] + i]);
  CHECK(same_bits(got_copy, expected_copy));
  if (!std::isfinite(c.squared_norm)) {
    CHECK(same_bits(got_w, w));
    CHECK(same_bits(got_v, v));
    return;
  }
  for (int i = 0; i < c.skipped[0]; ++i) CHECK(got_w[i] == w[i]);
  for (int i = 0; i < c.skipped[1]; ++i) CHECK(got_v[i] == v[i]);
  // Compilers fuse multiplications and additions differently: two ulp of the terms' sizes.
  double worst = 0;
  for (int i = 0; i < c.count; ++i) {
    const double old_w = w[i + c.skipped[0]], old_v = v[i + c.skipped[1]];
    // Nesterov's update adds the momentum once more.
    const double size =
        (c.nesterov ? 2 : 1) * (std::abs(momentum * old_v) + std::abs(double(g[i + c.skipped[2]])) +
                                std::abs(decay * old_w));
    const double ulps = 2 * 0x1p-23;
    const double error_v =
        std::abs(double(got_v[i + c.skipped[1]]) - expected_v[i + c.skipped[1]]) / (ulps * size);
    const double error_w =
        std::abs(double(got_w[i + c.skipped[0]]) - expected_w[i + c.skipped[0]]) /
        (ulps * (std::abs(old_w) + rate * size));
    if (!(std::max(error_v, error_w) <= worst)) worst = std::max(error_v, error_w);
  }
  CHECK(worst <= 1);
}

}  // namespace

TEST_CASE("cuda: sgd_step agrees with the CPU's") {
  auto engine = random_engine(43);
  compare_sgd(engine, {0, 4, 1, {1, 2, 3}});
  for (const int count : {1, 3, 4, 5, 1000, 1027, 5003}) {
    compare_sgd(engine, {count, 4, 1, {}});         // clipped by a half
    compare_sgd(engine, {count, 1e300, 5, {}});     // clipped to almost nothing
    compare_sgd(engine, {count, 4, 0, {0, 0, 1}});  // no clipping, and no quads
    compare_sgd(engine, {count, 4, 5, {1, 2, 3}});  // a short gradient
    compare_sgd(engine, {count, 4, 5, {0, 0, 0, 1}});
    compare_sgd(engine, {count, 4, 5, {0, 0, 0, 0}, false});
    compare_sgd(engine, {count, 4, 1, {}, true, true});
    compare_sgd(engine, {count, 4, 5, {1, 2, 3}, false, true});
    compare_sgd(engine, {count, not_a_number, 5, {}});
    compare_sgd(engine, {count, infinity, 0, {}});
  }
}

TEST_CASE("cuda: softmax_rows and its gradient agree with the CPU's") {
  auto engine = random_engine(46);
  for (const auto& [edges, ops] : {std::pair{6, 5}, {14, 7}, {1, 1}, {3, 16}, {40, 9}})
    for (const bool masked : {false, true})
      for (const double spread : {1.0, 1000.0}) {
        const std::size_t size = std::size_t(edges) * ops;
        std::vector<double> a = double_normals(engine, size), g = double_normals(engine, size);
        for (double& v : a) v *= spread;
        std::vector<std::uint8_t> m(size);
        for (std::size_t i = 0; i < size; ++i) m[i] = i % ops == 0 || engine() % 2;
        std::vector<double> expected(2 * size);
        kernels::softmax_rows<Device::cpu>(edges, ops, a.data(), masked ? m.data() : nullptr,
                                           expected.data(), nullptr);
        kernels::softmax_rows_backward<Device::cpu>(edges, ops, expected.data(), g.data(),
                                                    expected.data() + size, nullptr);
        const auto got = in_every_order([&, edges = edges, ops = ops] {
          const DeviceArray<double> alpha(a), dtheta(g), out(2 * size);
          const DeviceArray<std::uint8_t> mask(m);
          kernels::softmax_rows<Device::cuda>(edges, ops, alpha, masked ? mask.data() : nullptr,
                                              out, nullptr);
          kernels::softmax_rows_backward<Device::cuda>(edges, ops, out, dtheta, out + size,
                                                       nullptr);
          return out.read();
        });
        CHECK(relative_error(got, expected) <= 1e-14);
        for (std::size_t i = 0; i < size; ++i)
          if (masked && !m[i]) CHECK(got[i] == 0);
      }
}
