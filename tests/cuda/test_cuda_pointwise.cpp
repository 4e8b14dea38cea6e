// SPDX-License-Identifier: MIT
// Pointwise kernels: CUDA sources against the CPU twins, bit for bit.
#include "kernels/pointwise.h"

#include <limits>

#include "tests/cuda/harness.h"

using namespace drnas;
using namespace drnas::test;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// Normal values with zeros, infinities and NaN among them.
std::vector<float> mixed(std::mt19937& engine, int count) {
  std::vector<float> values = normals(engine, count);
  const float special[] = {0.0f, -0.0f, infinity, -infinity, NAN};
  for (float& v : values)
    if (engine() % 8 == 0) v = special[engine() % 5];
  return values;
}

/// body(pointer to the values on the device) between two floats that must stay; `shift` floats
/// from an aligned address.
template <class Body>
std::vector<float> change(const std::vector<float>& before, int shift, const Body& body) {
  std::vector<float> padded(shift, 7.0f);
  padded.insert(padded.end(), before.begin(), before.end());
  padded.push_back(7.0f);
  const auto after = in_every_order([&] {
    const DeviceArray<float> array(padded);
    body(array.data() + shift);
    return array.read();
  });
  for (int i = 0; i < shift; ++i) CHECK(after[i] == 7.0f);
  CHECK(after.back() == 7.0f);
  return {after.begin() + shift, after.end() - 1};
}

constexpr int counts[] = {1, 2, 3, 4, 5, 63, 64, 1003, 1024, 4099};

}  // namespace

TEST_CASE("cuda: ReLU and its gradient") {
  auto engine = random_engine(41);
  for (const int count : counts)
    for (const int shift : {0, 1}) {
      CAPTURE(count);
      CAPTURE(shift);
      const auto x = mixed(engine, count), dy = normals(engine, count),
                 before = normals(engine, count);
      std::vector<float> y(count), dx(count), sum = before;
      kernels::relu_forward<Device::cpu>(count, x.data(), y.data(), nullptr);
      kernels::relu_backward<Device::cpu>(count, x.data(), dy.data(), dx.data(), false, nullptr);
      kernels::relu_backward<Device::cpu>(count, x.data(), dy.data(), sum.data(), true, nullptr);
      CHECK(same_bits(y, change(before, shift, [&](float* out) {
                        const DeviceArray<float> in(x);
                        kernels::relu_forward<Device::cuda>(count, in, out, nullptr);
                      })));
      const auto gradient = [&](bool accumulate) {
        return change(before, shift, [&](float* out) {
          const DeviceArray<float> in(x), d(dy);
          kernels::relu_backward<Device::cuda>(count, in, d, out, accumulate, nullptr);
        });
      };
      CHECK(same_bits(dx, gradient(false)));
      CHECK(same_bits(sum, gradient(true)));
      CHECK(same_bits(dx, change(dy, shift, [&](float* in_place) {
                        const DeviceArray<float> in(x);
                        kernels::relu_backward<Device::cuda>(count, in, in_place, in_place, false,
                                                             nullptr);
                      })));
    }
}

TEST_CASE("cuda: sums, in place too, and fills") {
  auto engine = random_engine(42);
  for (const int count : counts)
    for (const int shift : {0, 3}) {
      CAPTURE(count);
      CAPTURE(shift);
      const auto a = normals(engine, count), b = normals(engine, count);
      std::vector<float> sum(count);
      for (int i = 0; i < count; ++i) sum[i] = a[i] + b[i];
      CHECK(same_bits(sum, change(b, shift, [&](float* y) {
                        const DeviceArray<float> first(a), second(b);
                        kernels::add<Device::cuda>(count, first, second, y, nullptr);
                      })));
      CHECK(same_bits(sum, change(b, shift, [&](float* y) {
                        const DeviceArray<float> first(a);
                        kernels::add<Device::cuda>(count, first, y, y, nullptr);
                      })));
      CHECK(same_bits(std::vector<float>(count, -2.5f), change(a, shift, [&](float* y) {
                        kernels::fill<Device::cuda>(count, -2.5f, y, nullptr);
                      })));
    }
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

TEST_CASE("cuda: all_finite finds a single bad value wherever it is") {
  auto engine = random_engine(43);
  const auto finite = [](const std::vector<float>& x, int shift) {
    const DeviceArray<float> in(x);
    return kernels::all_finite<Device::cuda>(static_cast<std::int64_t>(x.size()) - shift,
                                             in + shift, nullptr);
  };
  for (const int count : counts)
    for (const int shift : {0, 1}) {
      CAPTURE(count);
      auto x = normals(engine, count + shift);
      x[engine() % x.size()] = std::numeric_limits<float>::max();
      CHECK(finite(x, shift));
      for (const std::size_t at : {std::size_t(shift), x.size() - 1, shift + engine() % count})
        for (const float bad : {NAN, -NAN, infinity, -infinity}) {
          auto spoilt = x;
          spoilt[at] = bad;
          CHECK(!finite(spoilt, shift));
        }
      CHECK(finite(x, shift));  // the flag is cleared
    }
  std::vector<float> large(1024 * 1024 + 77, 1.0f);  // more than one round of threads
  CHECK(finite(large, 0));
  large[large.size() - 2] = NAN;
  CHECK(!finite(large, 0));
  CHECK(kernels::all_finite<Device::cuda>(0, nullptr, nullptr));
}
