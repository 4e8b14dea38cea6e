// SPDX-License-Identifier: MIT
// Philox fills and Dirichlet kernels: CUDA sources against the CPU twins.
#include "tests/cases/dirichlet.h"
#include "tests/cases/philox_fill.h"
#include "tests/cuda/curand_words.h"
#include "tests/cuda/harness.h"
#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;

TEST_CASE("cuda: uniform fills have the bits of the CPU's, normal fills are close") {
  for (const int n : {1, 2, 3, 257, 4099}) {
    const PhiloxFillCase between{n, -0.3f, 0.7f, 12, 3}, around{n, 0.1f, 2.0f, 12, 3};
    const auto uniform = [&](auto& b) { return between.uniform(b); };
    const auto normal = [&](auto& b) { return around.normal(b); };
    CHECK(same_bits(OnDevice{}(uniform), OnCpu{}(uniform)));
    CHECK(max_error(OnDevice{}(normal).at("out"), OnCpu{}(normal).at("out")) < 1e-6);
  }
}

#ifndef DRNAS_SIMT
TEST_CASE("cuda: Philox words are cuRAND's") {
  constexpr int count = 1000;
  constexpr std::uint64_t seed = 0x123456789abcdef0u;
  auto rng = generator(6);
  std::vector<std::uint32_t> counters(4 * count), expected;
  for (std::uint32_t& word : counters) word = static_cast<std::uint32_t>(rng());
  for (int i = 0; i < count; ++i) {
    const std::uint32_t* c = &counters[4 * i];
    const kernels::PhiloxWords words =
        kernels::philox({c[0], c[1], c[2], c[3]}, kernels::philox_key(seed));
    expected.insert(expected.end(), words.word, words.word + 4);
  }
  const kernels::PhiloxKey key = kernels::philox_key(seed);
  const DeviceArray<std::uint32_t> in(counters), out(counters.size());
  curand_words(in, key.lo, key.hi, out, count);
  CHECK(out.read() == expected);
}
#endif

TEST_CASE("cuda: Dirichlet draws and derivatives agree with the CPU's") {
  auto rng = generator(5);
  for (const auto& [edges, ops] : {std::pair{6, 5}, {14, 7}, {1, 1}, {3, 16}}) {
    const DirichletCase c(rng, edges, ops);
    const auto place = [&](auto& b) { return c.backward(b); };
    const Results device = OnDevice{}(place);
    for (const auto& [name, expected] : OnCpu{}(place)) {
      CAPTURE(name);
      CHECK(max_error(device.at(name), expected) < 1e-12);
    }
  }
}
