// SPDX-License-Identifier: MIT
// Element-wise kernels: CUDA sources against the CPU twins, bit for bit, with arrays stored as T:
// float or bfloat16.
#include <limits>

#include "tests/cases/elementwise.h"
#include "tests/cuda/harness.h"

using namespace drnas;
using namespace drnas::test;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr int counts[] = {1, 2, 3, 4, 5, 63, 64, 1003, 1024, 4099};

/// Zeros, infinities and NaN among the values.
void add_special_values(Rng& rng, Doubles& values) {
  const double special[] = {0.0, -0.0, infinity, -infinity, NAN};
  for (double& v : values)
    if (rng() % 8 == 0) v = special[rng() % 5];
}

/// Values that T holds.
template <class T>
ElementwiseCase random_case(Rng& rng, int count) {
  ElementwiseCase c(rng, count);
  for (Doubles* values : {&c.x, &c.dy, &c.before}) *values = rounded<T>(*values);
  return c;
}

/// Calls body(case, layouts, shift of the outputs) for every count of values in T.
template <class T, class Body>
void each_case(Rng& rng, std::initializer_list<int> shifts, const Body& body) {
  for (const int count : counts)
    for (const int shift : shifts) {
      CAPTURE(count);
      CAPTURE(shift);
      body(random_case<T>(rng, count), OnDevice{every_image({shift})});
    }
}

/// What the CPU leaves in `name`, in T.
template <class T, class Place>
Doubles on_cpu(const char* name, const Place& place) {
  return rounded<T>(OnCpu{}(place).at(name));
}

}  // namespace

TEST_CASE_TEMPLATE("cuda: ReLU and its gradient", T, float, bfloat16) {
  auto rng = generator(41);
  each_case<T>(rng, {0, 1}, [&](ElementwiseCase c, const OnDevice& run) {
    add_special_values(rng, c.x);
    CHECK(same_bits(run([&](auto& b) { return c.relu<T>(b); }).at("y"),
                    on_cpu<T>("y", [&](auto& b) { return c.relu(b); })));
    for (const bool accumulate : {false, true})
      CHECK(same_bits(run([&](auto& b) { return c.relu_backward<T>(b, accumulate); }).at("dx"),
                      on_cpu<T>("dx", [&](auto& b) { return c.relu_backward(b, accumulate); })));
    CHECK(same_bits(run([&](auto& b) { return c.relu_backward_in_place<T>(b); }).at("dx"),
                    on_cpu<T>("dx", [&](auto& b) { return c.relu_backward(b, false); })));
  });
}

TEST_CASE_TEMPLATE("cuda: sums, in place too", T, float, bfloat16) {
  auto rng = generator(42);
  each_case<T>(rng, {0, 3}, [](const ElementwiseCase& c, const OnDevice& run) {
    Doubles sum(c.x.size());
    for (std::size_t i = 0; i < sum.size(); ++i)
      sum[i] = static_cast<float>(c.x[i]) + static_cast<float>(c.dy[i]);
    for (const bool in_place : {false, true})
      CHECK(
          same_bits(run([&](auto& b) { return c.add<T>(b, in_place); }).at("y"), rounded<T>(sum)));
  });
}

TEST_CASE("cuda: sums of float64 tables, in place too") {
  auto rng = generator(43);
  for (const int count : counts) {
    CAPTURE(count);
    const ElementwiseCase c(rng, count);
    for (const bool in_place : {false, true})
      CHECK(same_bits(OnDevice{}([&](auto& b) { return c.add<double>(b, in_place); }).at("y"),
                      OnCpu{}([&](auto& b) { return c.add<double>(b, in_place); }).at("y")));
  }
}

TEST_CASE("cuda: fills") {
  auto rng = generator(44);
  each_case<float>(rng, {0, 3}, [](const ElementwiseCase& c, const OnDevice& run) {
    CHECK(run([&](auto& b) { return c.fill(b, -2.5f); }).at("y") == Doubles(c.x.size(), -2.5));
  });
}

TEST_CASE("cuda: increment") {
  for (const int count : {1, 255, 300}) {
    std::vector<std::uint32_t> before(count);
    Doubles after(count);
    for (int i = 0; i < count; ++i) {
      before[i] = 0xffffffffu - i % 3;
      after[i] = static_cast<std::uint32_t>(before[i] + 1);
    }
    const Results got = OnDevice{}([&](auto& b) {
      auto* counters = b.template output<std::uint32_t>("counters", before);
      return b.call(
          0, [=](auto stream) { kernels::increment<Device::cuda>(count, counters, stream); });
    });
    CHECK(got.at("counters") == after);
  }
}

TEST_CASE_TEMPLATE("cuda: all_finite finds a single bad value wherever it is", T, float, bfloat16) {
  auto rng = generator(43);
  const auto finite = [](const Doubles& x, int shift) {
    Buffers<Device::cuda> b;
    const T* in = b.template input<T>(x);
    return kernels::all_finite<Device::cuda>(static_cast<std::int64_t>(x.size()) - shift,
                                             in + shift, nullptr);
  };
  for (const int count : counts)
    for (const int shift : {0, 1}) {
      CAPTURE(count);
      Doubles x = normals(rng, count + shift);
      x[rng() % x.size()] = sizeof(T) == 2 ? 0x1.fep127f : std::numeric_limits<float>::max();
      CHECK(finite(x, shift));
      for (const std::size_t at : {std::size_t(shift), x.size() - 1, shift + rng() % count})
        for (const float bad : {NAN, -NAN, infinity, -infinity}) {
          Doubles spoilt = x;
          spoilt[at] = bad;
          CHECK(!finite(spoilt, shift));
        }
      CHECK(finite(x, shift));  // the flag is cleared
    }
  // More than one round of threads.
  Doubles large((sizeof(T) == 2 ? 2 : 1) * 1024 * 1024 + 77, 1.0);
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
  auto rng = generator(45);
  each_case<float>(rng, {0, 1, 4}, [&](ElementwiseCase c, const OnDevice& run) {
    add_special_values(rng, c.x);
    const float special[] = {0x1.01p0f,       0x1.03p0f,      -0x1.01p0f,     0x1.010002p0f,
                             0x1.fefffep127f, 0x1.ffp127f,    0x1.8p-134f,    0x1.234567p-130f,
                             0x1p-149f,       -0x1.02fffep3f, 0x1.ff7fffp-5f, 0x1.ff8p20f};
    for (double& v : c.x)
      if (rng() % 3 == 0) v = special[rng() % std::size(special)];
    const Doubles narrow = run([&](auto& b) { return c.cast<float, bfloat16>(b); }).at("y");
    for (std::size_t i = 0; i < narrow.size(); ++i)
      CHECK((std::isnan(c.x[i]) ? std::isnan(narrow[i])
                                : narrow[i] == eight_digits(static_cast<float>(c.x[i]))));
    c.x = narrow;
    CHECK(same_bits(run([&](auto& b) { return c.cast<bfloat16, float>(b); }).at("y"), narrow));
  });
}
