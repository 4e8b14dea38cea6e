// SPDX-License-Identifier: MIT
// The order in which lanes hold what tensor cores multiply, and copies that complete late: on a
// card this is what all that is built on them stands on, on the executor it is what it claims.
#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

#include "tests/cuda/harness.h"
#include "tests/cuda/mma_kernels.h"
#include "tests/cuda/tf32.h"

using namespace drnas;
using test::DeviceArray;

namespace {

template <class T>
std::vector<T> random_values(std::size_t count, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<T> values;
  for (std::size_t i = 0; i < count; ++i) values.push_back(static_cast<T>(normal(random)));
  return values;
}

/// Checks d [16][8] = c + a [16][depth] b [depth][8], of exact products in float sums of `depth`.
template <class T, class Value>
void check_product(const std::vector<T>& a, const std::vector<T>& b, const std::vector<float>& c,
                   const std::vector<float>& d, const Value& value) {
  const int depth = static_cast<int>(b.size()) / 8;
  for (int row = 0; row < 16; ++row)
    for (int column = 0; column < 8; ++column) {
      const auto at = static_cast<std::size_t>(row * 8 + column);
      double sum = c[at], size = std::abs(c[at]);
      for (int k = 0; k < depth; ++k) {
        const double product = value(a[static_cast<std::size_t>(row * depth + k)]) *
                               value(b[static_cast<std::size_t>(k * 8 + column)]);
        sum += product;
        size += std::abs(product);
      }
      // A card may cut what it adds below a float's last bit, once for each term.
      CHECK(std::abs(d[at] - sum) <= (depth + 1) * size * std::ldexp(1.0, -23));
    }
}

}  // namespace

TEST_CASE("cuda mma: the identity times B is B, and A times the identity is A") {
  std::vector<bfloat16> unit(16 * 16, bfloat16(0.0f)), numbers;
  for (int i = 0; i < 16; ++i) unit[static_cast<std::size_t>(i * 16 + i)] = bfloat16(1.0f);
  for (int i = 0; i < 128; ++i) numbers.emplace_back(static_cast<float>(i));
  const DeviceArray<bfloat16> a(unit), b(numbers);
  const DeviceArray<float> c(std::vector<float>(128, 0.0f)), d(128);
  test::multiply_bf16(a, b, c, d);
  const std::vector<float> right = d.read();
  for (int i = 0; i < 128; ++i) REQUIRE(right[static_cast<std::size_t>(i)] == i);

  std::vector<float> square, unit8(8 * 8, 0.0f);
  for (int i = 0; i < 128; ++i) square.push_back(static_cast<float>(i));
  for (int i = 0; i < 8; ++i) unit8[static_cast<std::size_t>(i * 8 + i)] = 1.0f;
  const DeviceArray<float> left(square), e(unit8);
  test::multiply_tf32(left, e, c, d);
  CHECK(d.read() == square);
}

TEST_CASE("cuda mma: products of random matrices, added to what is there") {
  std::mt19937 random(7);
  for (int trial = 0; trial < 20; ++trial) {
    const auto c = random_values<float>(16 * 8, random);
    const DeviceArray<float> start(c), d(16 * 8);
    const auto a = random_values<bfloat16>(16 * 16, random),
               b = random_values<bfloat16>(16 * 8, random);
    test::multiply_bf16(DeviceArray<bfloat16>(a), DeviceArray<bfloat16>(b), start, d);
    check_product(a, b, c, d.read(), [](bfloat16 v) { return double{v}; });
    const auto e = random_values<float>(16 * 8, random), f = random_values<float>(8 * 8, random);
    test::multiply_tf32(DeviceArray<float>(e), DeviceArray<float>(f), start, d);
    check_product(e, f, c, d.read(), [](float v) { return test::nearest_tf32(v); });
  }
}

TEST_CASE("cuda mma: TF32 keeps 11 bits, rounded to nearest, ties away from zero") {
  std::mt19937 random(11);
  std::uniform_int_distribution<std::uint32_t> bits;
  std::vector<float> values{1.0f, -1.0f, 1.00048828125f, -1.00048828125f, 0.0f, 3.0e38f, 1e-30f};
  while (values.size() < 4096) {
    const std::uint32_t word = bits(random);
    float value;
    std::memcpy(&value, &word, sizeof value);
    if (std::isnormal(value) && std::abs(value) < 3e38f) values.push_back(value);
  }
  const DeviceArray<float> in(values), out(values.size());
  test::round_tf32(in, out, static_cast<int>(values.size()));
  const std::vector<float> rounded = out.read();
  for (std::size_t i = 0; i < values.size(); ++i) {
    CAPTURE(values[i]);
    REQUIRE(double{rounded[i]} == test::nearest_tf32(values[i]));
  }
}

TEST_CASE("cuda mma: lanes hold matrices of shared memory in the documented order") {
  for (const int matrices : {1, 2, 4})
    for (const bool transposed : {false, true}) {
      std::vector<std::uint16_t> elements;
      for (int i = 0; i < matrices * 64; ++i)
        elements.push_back(static_cast<std::uint16_t>(i * 97));
      const DeviceArray<std::uint16_t> from(elements);
      const DeviceArray<unsigned> held(static_cast<std::size_t>(matrices) * 32);
      test::load_matrices(from, matrices, transposed, held);
      const std::vector<unsigned> registers = held.read();
      for (int m = 0; m < matrices; ++m)
        for (int lane = 0; lane < 32; ++lane)
          for (int half = 0; half < 2; ++half) {
            const int along = lane % 4 * 2 + half, across = lane / 4;
            const int at = m * 64 + (transposed ? along * 8 + across : across * 8 + along);
            const unsigned word = registers[static_cast<std::size_t>(m * 32 + lane)];
            REQUIRE((word >> 16 * half & 0xffffu) == elements[static_cast<std::size_t>(at)]);
          }
    }
}

TEST_CASE("cuda mma: copies arrive by groups, and zeros where nothing is to be copied") {
  for (const int bytes : {4, 8, 16})
    for (const int present : {32, 19, 0}) {
      std::vector<unsigned char> values;
      for (int i = 0; i < 32 * bytes; ++i)
        values.push_back(static_cast<unsigned char>(i % 251 + 1));
      const std::vector<unsigned char> out = test::in_every_order([&] {
        const DeviceArray<unsigned char> in(values), to(2 * values.size());
        test::copy_through_shared(in, bytes, present, to);
        return to.read();
      });
      const auto expected = [&](int lane, int i) {
        return lane < present ? values[static_cast<std::size_t>(lane * bytes + i)] : 0;
      };
      for (int lane = 0; lane < 32; ++lane)
        for (int i = 0; i < bytes; ++i) {
          const int other = (lane + 1) % 32;
          REQUIRE(out[static_cast<std::size_t>(lane * bytes + i)] == expected(other, i));
          REQUIRE(out[static_cast<std::size_t>((32 + lane) * bytes + i)] ==
                  expected(31 - other, i));
        }
    }
}
