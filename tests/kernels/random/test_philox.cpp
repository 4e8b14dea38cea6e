// SPDX-License-Identifier: MIT
#include "kernels/random/philox.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/random/philox_lanes.h"
#include "tests/cases/philox_fill.h"
#include "tests/support/calls.h"
#include "tests/support/reference.h"

namespace {

using drnas::Device;
namespace kernels = drnas::kernels;
namespace test = drnas::test;
using kernels::Purpose;
using kernels::RandomStream;

/// Pearson's statistic of counts against equal expectation. Under the hypothesis it has mean
/// bins - 1 and deviation sqrt(2 (bins - 1)).
double chi_square(const std::vector<int>& counts) {
  double total = 0.0, statistic = 0.0;
  for (int c : counts) total += c;
  const double expected = total / static_cast<double>(counts.size());
  for (int c : counts) statistic += (c - expected) * (c - expected) / expected;
  return statistic;
}

/// Within six deviations, both too uneven and too even being wrong.
void check_uniform(const std::vector<int>& counts) {
  const double freedom = static_cast<double>(counts.size()) - 1.0;
  CHECK(std::fabs(chi_square(counts) - freedom) < 6.0 * std::sqrt(2.0 * freedom) + 6.0);
}

/// Largest distance of the empirical distribution of sorted values u from the uniform one.
double kolmogorov_distance(std::vector<double> u) {
  std::sort(u.begin(), u.end());
  const double n = static_cast<double>(u.size());
  double distance = 0.0;
  for (std::size_t i = 0; i < u.size(); ++i) {
    const double below = static_cast<double>(i) / n;
    distance = std::max({distance, u[i] - below, below + 1.0 / n - u[i]});
  }
  return distance;
}

/// Distance exceeded with probability 1e-9: 2 exp(-2 n d^2) = 1e-9.
double kolmogorov_limit(double n) { return std::sqrt(std::log(2e9) / (2.0 * n)); }

template <class Place>
test::Doubles filled(int count, const Place& place) {
  const test::Threads threads(count);
  return test::OnCpu{}(place)["out"];
}

TEST_CASE("philox: several blocks at once are the blocks one by one") {
  auto rng = test::generator(31);
  const auto word = [&] { return static_cast<std::uint32_t>(rng()); };
  for (int i = 0; i < 50; ++i) {
    const kernels::PhiloxCounter first{word(), word(), i == 0 ? 0xfffffff8u : word(), word()};
    const kernels::PhiloxKey key{word(), word()};
    const kernels::PhiloxLanes<16> lanes(first, key);
    for (std::uint32_t lane = 0; lane < 16; ++lane) {
      const kernels::PhiloxWords one =
          kernels::philox({first.step, first.purpose, first.element + lane, first.attempt}, key);
      for (int k = 0; k < 4; ++k) CHECK(lanes.word[k][lane] == one.word[k]);
    }
  }
}

TEST_CASE("philox: known answers of the Random123 distribution") {
  struct Known {
    std::uint32_t counter[4], key[2], word[4];
  };
  const Known known[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}};
  for (const Known& k : known) {
    const kernels::PhiloxWords out = kernels::philox(
        {k.counter[0], k.counter[1], k.counter[2], k.counter[3]}, {k.key[0], k.key[1]});
    for (int i = 0; i < 4; ++i) CHECK(out.word[i] == k.word[i]);
  }
  const kernels::PhiloxKey key = kernels::philox_key(0x299f31d0a4093822u);
  CHECK(key.lo == 0xa4093822);
  CHECK(key.hi == 0x299f31d0);
}

TEST_CASE("philox: the stream passes its arguments to the counter's own places") {
  const std::uint64_t seed = 0x123456789abcdef0u;
  const kernels::PhiloxWords a = RandomStream(seed, Purpose::drop_path).words(11, 22, 33);
  const kernels::PhiloxWords b = kernels::philox({11, 5, 22, 33}, {0x9abcdef0, 0x12345678});
  for (int i = 0; i < 4; ++i) CHECK(a.word[i] == b.word[i]);
}

TEST_CASE("philox: uniforms keep to their interval and grid at the extreme words") {
  CHECK(kernels::uniform_float(0) == 0.0f);
  CHECK(kernels::uniform_float(~0u) == 1.0f - 0x1p-24f);
  CHECK(kernels::uniform_float(0x100) == 0x1p-24f);
  CHECK(kernels::uniform_double(0, 0) == 0x1p-53);
  CHECK(kernels::uniform_double(~0u, ~0u) == 1.0 - 0x1p-53);
  CHECK(kernels::uniform_double(0x80000000u, 0) == 0.5 + 0x1p-53);
  for (std::uint32_t n : {1u, 2u, 7u, 25000u, ~0u}) {
    CHECK(kernels::uniform_below(n, 0, 0) == 0);
    CHECK(kernels::uniform_below(n, ~0u, ~0u) == n - 1);
  }
  CHECK(kernels::uniform_below(3, 0x55555555u, 0x55555555u) == 0);
  CHECK(kernels::uniform_below(3, 0x55555555u, 0x55555556u) == 1);
}

TEST_CASE("philox: bytes of all words are uniform along every counter field") {
  constexpr int draws = 100000;
  for (int field = 0; field < 4; ++field) {
    std::vector<int> counts(4 * 4 * 256);
    for (std::uint32_t i = 0; i < draws; ++i) {
      kernels::PhiloxCounter counter{3, 4, 5, 6};
      (field == 0   ? counter.step
       : field == 1 ? counter.purpose
       : field == 2 ? counter.element
                    : counter.attempt) = i;
      const kernels::PhiloxWords w = kernels::philox(counter, {42, 0});
      for (int word = 0; word < 4; ++word)
        for (int byte = 0; byte < 4; ++byte)
          ++counts[static_cast<std::size_t>((word * 4 + byte) * 256) +
                   (w.word[word] >> (8 * byte) & 255u)];
    }
    for (auto first = counts.begin(); first != counts.end(); first += 256)
      check_uniform({first, first + 256});
  }
}

TEST_CASE("philox: uniform and normal draws have their distribution and no serial correlation") {
  constexpr int n = 100000;
  const RandomStream stream(7, Purpose::synthetic);
  std::vector<double> uniform, normal;
  std::vector<int> below(7);
  for (std::uint32_t i = 0; i < n; ++i) {
    uniform.push_back(stream.uniform(1, i));
    normal.push_back(stream.normal(2, i));
    ++below[stream.below(7, 3, i)];
  }
  check_uniform(below);
  CHECK(kolmogorov_distance(uniform) < kolmogorov_limit(n));
  std::vector<double> quantile(normal.size());
  std::transform(normal.begin(), normal.end(), quantile.begin(),
                 [](double z) { return 0.5 * std::erfc(-z / std::sqrt(2.0)); });
  CHECK(kolmogorov_distance(quantile) < kolmogorov_limit(n));
  double moment[5] = {}, serial_uniform = 0.0, serial_normal = 0.0;
  for (std::size_t i = 0; i < normal.size(); ++i) {
    for (int k = 1; k <= 4; ++k) moment[k] += std::pow(normal[i], k) / n;
    if (i == 0) continue;
    serial_normal += normal[i] * normal[i - 1] / n;
    serial_uniform += 12.0 * (uniform[i] - 0.5) * (uniform[i - 1] - 0.5) / n;
  }
  // Variances of z, z^2, z^3, z^4 are 1, 2, 15, 96; of the products 1.
  const double error = 6.0 / std::sqrt(static_cast<double>(n));
  CHECK(std::fabs(moment[1]) < error);
  CHECK(std::fabs(moment[2] - 1.0) < error * std::sqrt(2.0));
  CHECK(std::fabs(moment[3]) < error * std::sqrt(15.0));
  CHECK(std::fabs(moment[4] - 3.0) < error * std::sqrt(96.0));
  CHECK(std::fabs(serial_normal) < error);
  CHECK(std::fabs(serial_uniform) < error);
}

TEST_CASE("philox: the two normals of a block are independent") {
  constexpr int n = 100000;
  const RandomStream stream(8, Purpose::synthetic);
  double mixed = 0.0, mixed_squares = 0.0, second = 0.0;
  for (std::uint32_t i = 0; i < n; ++i) {
    const kernels::NormalPair z = kernels::normal_pair(stream.words(0, i));
    mixed += z.first * z.second / n;
    mixed_squares += z.first * z.first * z.second * z.second / n;
    second += z.second * z.second / n;
  }
  const double error = 6.0 / std::sqrt(static_cast<double>(n));
  CHECK(std::fabs(mixed) < error);
  CHECK(std::fabs(second - 1.0) < error * std::sqrt(2.0));
  CHECK(std::fabs(mixed_squares - 1.0) < error * std::sqrt(8.0));
}

TEST_CASE("philox: a permutation takes every place once") {
  for (std::uint32_t n : {1u, 2u, 3u, 4u, 5u, 7u, 16u, 17u, 64u, 65u, 25000u}) {
    const RandomStream stream(2, Purpose::shuffle);
    std::vector<int> hits(n);
    for (std::uint32_t i = 0; i < n; ++i) {
      const std::uint32_t place = stream.permuted(i, n, 9);
      REQUIRE(place < n);
      ++hits[place];
    }
    CHECK(std::all_of(hits.begin(), hits.end(), [](int h) { return h == 1; }));
  }
  const RandomStream stream(2, Purpose::shuffle);
  CHECK(stream.permuted(4294967294u, 4294967295u, 0) < 4294967295u);
}

TEST_CASE("philox: permutations are uniform over steps and differ by seed, purpose and step") {
  const RandomStream stream(5, Purpose::validation);
  std::vector<int> orders(27), pairs(25);
  for (std::uint32_t step = 0; step < 30000; ++step) {
    ++orders[9 * stream.permuted(0, 3, step) + 3 * stream.permuted(1, 3, step) +
             stream.permuted(2, 3, step)];
    ++pairs[5 * stream.permuted(1, 5, step) + stream.permuted(4, 5, step)];
  }
  std::erase(orders, 0);
  std::erase(pairs, 0);
  REQUIRE(orders.size() == 6);
  REQUIRE(pairs.size() == 20);
  check_uniform(orders);
  check_uniform(pairs);
  constexpr std::uint32_t n = 25000;
  int fixed[4] = {};
  for (std::uint32_t i = 0; i < n; ++i) {
    const std::uint32_t place = stream.permuted(i, n, 1);
    fixed[0] += place == i;
    fixed[1] += place == stream.permuted(i, n, 2);
    fixed[2] += place == RandomStream(6, Purpose::validation).permuted(i, n, 1);
    fixed[3] += place == RandomStream(5, Purpose::shuffle).permuted(i, n, 1);
  }
  // Coincidences of two random permutations are Poisson with mean 1: above 12 with probability
  // 6e-11.
  for (int count : fixed) CHECK(count <= 12);
}

TEST_CASE("philox: fills equal the stream's numbers whatever the length and the threads") {
  const RandomStream stream(77, Purpose::init);
  for (std::int64_t n : {0, 1, 2, 3, 5, 4096, 10007}) {
    const test::PhiloxFillCase between{n, -0.25f, 0.75f, 77, 3}, around{n, 1.5f, 0.5f, 77, 4};
    const auto uniform = [&](auto& b) { return between.uniform(b); };
    const auto normal = [&](auto& b) { return around.normal(b); };
    const test::Doubles u = filled(1, uniform), z = filled(1, normal);
    CHECK(u == filled(3, uniform));
    CHECK(z == filled(3, normal));
    bool same = true;
    for (std::uint32_t i = 0; i < static_cast<std::uint32_t>(n); ++i) {
      same &= u[i] == kernels::uniform_float(stream.words(3, i / 4).word[i % 4]) - 0.25f;
      const kernels::NormalPair pair = kernels::normal_pair(stream.words(4, i / 2));
      same &= z[i] == static_cast<float>(1.5 + 0.5 * (i % 2 == 0 ? pair.first : pair.second));
    }
    CHECK(same);
  }
  float out = 0.0f;
  CHECK_THROWS_AS(kernels::fill_uniform<Device::cpu>(&out, -1, 0, 1, 1, Purpose::init, 0, nullptr),
                  drnas::Error);
  CHECK_THROWS_AS(kernels::fill_normal<Device::cpu>(&out, kernels::max_fill + 1, 0, 1, 1,
                                                    Purpose::init, 0, nullptr),
                  drnas::Error);
}

}  // namespace
