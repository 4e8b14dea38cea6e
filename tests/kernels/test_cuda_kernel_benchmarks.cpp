// SPDX-License-Identifier: MIT
#include "tests/cuda/harness.h"
#include "tests/kernels/kernel_benchmark_checks.h"

TEST_CASE("cuda: kernel benchmarks, every call runs") {
  drnas::test::check_kernel_benchmarks<drnas::Device::cuda>(drnas::test::OnDeviceOnce{}, 1);
}
