// SPDX-License-Identifier: MIT
#include <memory>

#include "bench/bench_device.h"
#include "bench/kernel_benchmarks.h"
#include "tests/cuda/device_array.h"

namespace drnas::bench {
namespace {

constexpr int rounds = 7, least_calls = 10;
/// Small arrays may stay in the cache, as they do in a step.
constexpr std::size_t most_copies = 32;
/// Of random inputs, a prime, so that channels and pixels do not meet the same values again.
constexpr std::int64_t block = 65'521;

int l2_bytes() {
  int bytes = 0;
  require_cuda(cudaDeviceGetAttribute(&bytes, cudaDevAttrL2CacheSize, 0), "ask for the L2 cache");
  return bytes;
}

KernelTime time_kernel(const DeviceTimer& timer, const KernelBenchmark<Device::cuda>& kernel) {
  const auto place = kernel.make();
  std::vector<std::unique_ptr<test::Buffers<Device::cuda>>> buffers;
  std::vector<test::Call> calls;
  do {
    buffers.push_back(std::make_unique<test::Buffers<Device::cuda>>());
    calls.push_back(place(*buffers.back()));
  } while (calls.size() < most_copies &&
           static_cast<double>(calls.size()) * calls[0].bytes < 4.0 * l2_bytes());
  const double ms =
      timer.milliseconds(std::max(least_calls, static_cast<int>(calls.size())), rounds,
                         [&](int i) { calls[i % calls.size()].run(timer.stream()); });
  return {kernel.family,     kernel.call, kernel.node.channels, kernel.node.size,
          kernel.node.parts, ms,          calls[0].flops,       calls[0].bytes};
}

}  // namespace

std::vector<KernelTime> time_kernels(const DeviceTimer& timer, int batch) {
  test::random_block() = block;
  std::vector<KernelTime> times;
  for (const auto& kernel : kernel_benchmarks<Device::cuda>(batch))
    times.push_back(time_kernel(timer, kernel));
  return times;
}

}  // namespace drnas::bench
