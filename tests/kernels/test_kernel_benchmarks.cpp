// SPDX-License-Identifier: MIT
#include "tests/kernels/kernel_benchmark_checks.h"

TEST_CASE("kernel benchmarks: large random arrays repeat a block where that is asked for") {
  using drnas::test::normals, drnas::test::Rng, drnas::test::random_block;
  Rng rng(3), same(3);
  const auto drawn = normals(rng, 12);
  random_block() = 6;  // the distribution draws pairs
  const auto blocks = normals(same, 12), small = normals(same, 4);
  random_block() = 0;
  for (int i = 0; i < 12; ++i) CHECK(blocks[i] == drawn[i % 6]);
  for (int i = 0; i < 4; ++i) CHECK(small[i] == drawn[6 + i]);
}

TEST_CASE("kernel benchmarks: every call runs") {
  drnas::test::check_kernel_benchmarks<drnas::Device::cpu>(drnas::test::OnCpu{}, 4);
}
