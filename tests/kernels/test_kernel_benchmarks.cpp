// SPDX-License-Identifier: MIT
#include "tests/kernels/kernel_benchmark_checks.h"

TEST_CASE("kernel benchmarks: every call runs") {
  drnas::test::check_kernel_benchmarks<drnas::Device::cpu>(drnas::test::OnCpu{}, 4);
}
