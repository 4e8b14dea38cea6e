// SPDX-License-Identifier: MIT
// Element-wise kernels: CUDA sources against the CPU twins, bit for bit, with arrays stored as T:
// float or bfloat16.
#include "kernels/train/elementwise.h"

#include <limits>

#include "tests/cuda/bfloat16.h"
#include "tests/cuda/harness.h"

using namespace drnas;
using namespace drnas::test;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// Normal values that T holds, with zeros, infinities and NaN among them.
template <class T>
std::vector<float> mixed(std::mt19937& engine, int count) {
  std::vector<float> values = rounded<T>(normals(engine, count));
  const float special[] = {0.0f, -0.0f, infinity, -infinity, NAN};
  for (float& v : values)
    if (engine() % 8 == 0) v = special[engine() % 5];
  return values;
}

/// body(pointer to the values on the device) between two elements that must stay; `shift` elements
/// from an aligned address.
template <class T, class Body>
std::vector<T> change(const std::vector<float>& before, int shift, const Body& body) {
  std::vector<float> padded(shift, 7.0f);
  padded.insert(padded.end(), before.begin(), before.end());
  padded.push_back(7.0f);
  const auto after = in_every_order([&] {
    const DeviceArray<T> array(stored<T>(padded));
    body(array.data() + shift);
    return array.read();
  });
  for (int i = 0; i < shift; ++i) CHECK(after[i] == 7.0f);
  CHECK(after.back() == 7.0f);
  return {after.begin() + shift, after.end() - 1};
}

constexpr int counts[] = {1, 2, 3, 4, 5, 63, 64, 1003, 1024, 4099};

}  // namespace

TEST_CASE_TEMPLATE("cuda: ReLU and its gradient", T, float, bfloat16) {
  auto engine = random_engine(41);
  for (const int count : counts)
    for (const int shift : {0, 1}) {
      CAPTURE(count);
      CAPTURE(shift);
      const auto x = mixed<T>(engine, count), dy = rounded<T>(normals(engine, count)),
                 before = rounded<T>(normals(engine, count));
      std::vector<float> y(count), dx(count), sum = before;
      kernels::relu_forward<Device::cpu>(count, x.data(), y.data(), nullptr);
      kernels::relu_backward<Device::cpu>(count, x.data(), dy.data(), dx.data(), false, nullptr);
      kernels::relu_backward<Device::cpu>(count, x.data(), dy.data(), sum.data(), true, nullptr);
      CHECK(same_bits(stored<T>(y), change<T>(before, shift, [&](T* out) {
                        const DeviceArray<T> in(stored<T>(x));
                        kernels::relu_forward<Device::cuda>(count, in, out, nullptr);
                      })));
      const auto gradient = [&](bool accumulate) {
        return change<T>(before, shift, [&](T* out) {
          const DeviceArray<T> in(stored<T>(x)), d(stored<T>(dy));
          kernels::relu_backward<Device::cuda>(count, in, d, out, accumulate, nullptr);
        });
      };
      CHECK(same_bits(stored<T>(dx), gradient(false)));
      CHECK(same_bits(stored<T>(sum), gradient(true)));
      CHECK(same_bits(stored<T>(dx), change<T>(dy, shift, [&](T* in_place) {
                        const DeviceArray<T> in(stored<T>(x));
                        kernels::relu_backward<Device::cuda>(count, in, in_place, in_place, false,
                                                             nullptr);
                      })));
    }
}

TEST_CASE_TEMPLATE("cuda: sums, in place too", T, float, bfloat16) {
  auto engine = random_engine(42);
  for (const int count : counts)
    for (const int shift : {0, 3}) {
      CAPTURE(count);
      CAPTURE(shift);
      const auto a = rounded<T>(normals(engine, count)), b = rounded<T>(normals(engine, count));
      std::vector<float> sum(count);
      for (int i = 0; i < count; ++i) sum[i] = a[i] + b[i];
      CHECK(same_bits(stored<T>(sum), change<T>(b, shift, [&](T* y) {
                        const DeviceArray<T> first(stored<T>(a)), second(stored<T>(b));
                        kernels::add<Device::cuda>(count, first, second, y, nullptr);
                      })));
      CHECK(same_bits(stored<T>(sum), change<T>(b, shift, [&](T* y) {
                        const DeviceArray<T> first(stored<T>(a));
                        kernels::add<Device::cuda>(count, first, y, y, nullptr);
                      })));
    }
}

TEST_CASE("cuda: fills") {
  auto engine = random_engine(44);
  for (const int count : counts)
    for (const int shift : {0, 3})
      CHECK(same_bits(std::vector<float>(count, -2.5f),
                      change<float>(normals(engine, count), shift, [&](float* y) {
                        kernels::fill<Device::cuda>(count, -2.5f, y, nullptr);
                      })));
}

TEST_CASE("cuda: increment") {
  for (const int count : {1, 255, 300}) {
    std::vector<std::uint32_t> before(count), after(count);
    for (int i = 0; i < count; ++i) before[i] = 0xffffffffu - i % 3, after[i] = before[i] + 1;
    CHECK(same_bits(after, in_every_order([&] {
                      const DeviceArray<std::uint32_t> counters(before);
                      kernels::increment<Device::cuda>(count, counters, nullptr);
                      return counters.read();
                    })));
  }
}

TEST_CASE_TEMPLATE("cuda: all_finite finds a single bad value wherever it is", T, float, bfloat16) {
  auto engine = random_engine(43);
  const auto finite = [](const std::vector<float>& x, int shift) {
    const DeviceArray<T> in(stored<T>(x));
    return kernels::all_finite<Device::cuda>(static_cast<std::int64_t>(x.size()) - shift,
                                             in + shift, nullptr);
  };
  for (const int count : counts)
    for (const int shift : {0, 1}) {
      CAPTURE(count);
      auto x = normals(engine, count + shift);
      x[engine() % x.size()] = sizeof(T) == 2 ? 0x1.fep127f : std::numeric_limits<float>::max();
      CHECK(finite(x, shift));
      for (const std::size_t at : {std::size_t(shift), x.size() - 1, shift + engine() % count})
        for (const float bad : {NAN, -NAN, infinity, -infinity}) {
          auto spoilt = x;
          spoilt[at] = bad;
          CHECK(!finite(spoilt, shift));
        }
      CHECK(finite(x, shift));  // the flag is cleared
    }
  // More than one round of threads.
  std::vector<float> large((sizeof(T) == 2 ? 2 : 1) * 1024 * 1024 + 77, 1.0f);
  CHECK(finite(large, 0));
  large[large.size() - 2] = NAN;
  CHECK(!finite(large, 0));
  CHECK(kernels::all_finite<Device::cuda>(0, static_cast<const T*>(nullptr), nullptr));
}

namespace {

/// Rounded to eight binary digits by double arithmetic; large values become infinite.
float eight_digits(float value) {
  if (std::isnan(value) || std::isinf(value) || value == 0) return value;
  int exponent;
  std::frexp(value, &exponent);
  const int last = std::max(exponent - 8, -133);  // the exponent of the last digit
  const double steps = std::nearbyint(std::ldexp(static_cast<double>(value), -last));
  const double result = std::ldexp(steps, last);
  return std::abs(result) < 0x1p128 ? static_cast<float>(result) : std::copysign(infinity, value);
}

}  // namespace

TEST_CASE("cuda: casts to bfloat16 round to nearest, ties to even, and back are exact") {
  auto engine = random_engine(45);
  for (const int count : counts)
    for (const int shift : {0, 1, 4}) {
      CAPTURE(count);
      CAPTURE(shift);
      std::vector<float> from = mixed<float>(engine, count);
      const float special[] = {0x1.01p0f,       0x1.03p0f,      -0x1.01p0f,     0x1.010002p0f,
                               0x1.fefffep127f, 0x1.ffp127f,    0x1.8p-134f,    0x1.234567p-130f,
                               0x1p-149f,       -0x1.02fffep3f, 0x1.ff7fffp-5f, 0x1.ff8p20f};
      for (float& v : from)
        if (engine() % 3 == 0) v = special[engine() % std::size(special)];
      std::vector<float> expected;
      for (const float v : from) expected.push_back(eight_digits(v));
      const auto narrow =
          change<bfloat16>(std::vector<float>(count, 1.0f), shift, [&](bfloat16* to) {
            const DeviceArray<float> values(from);
            kernels::cast<Device::cuda>(count, values, to, nullptr);
          });
      for (int i = 0; i < count; ++i)
        CHECK(
            (std::isnan(from[i]) ? std::isnan(float{narrow[i]}) : float{narrow[i]} == expected[i]));
      CHECK(same_bits(widened(narrow),
                      change<float>(std::vector<float>(count, 1.0f), shift, [&](float* to) {
                        const DeviceArray<bfloat16> values(narrow);
                        kernels::cast<Device::cuda>(count, values, to, nullptr);
                      })));
    }
}
