// SPDX-License-Identifier: MIT
// Every kernel family on the CPU: NAME/channels/size/K, batch 64 (16 in the DARTS space).
#include <benchmark/benchmark.h>

#include "bench/kernel_benchmarks.h"

namespace {

using namespace drnas;
using Kernel = bench::KernelBenchmark<Device::cpu>;

/// The call that ran last: a benchmark runs several times, and its case stays.
struct Placed {
  const Kernel* kernel = nullptr;
  std::unique_ptr<test::Buffers<Device::cpu>> buffers;
  test::Call call;
};

void run(benchmark::State& state, const Kernel& kernel) {
  static Placed placed;
  if (placed.kernel != &kernel) {
    placed = {&kernel, std::make_unique<test::Buffers<Device::cpu>>(), {}};
    placed.call = kernel.make()(*placed.buffers);
  }
  for (auto _ : state) placed.call.run(nullptr);
  state.SetBytesProcessed(
      static_cast<std::int64_t>(placed.call.bytes * static_cast<double>(state.iterations())));
  state.counters["FLOPS"] =
      benchmark::Counter(placed.call.flops, benchmark::Counter::kIsIterationInvariantRate,
                         benchmark::Counter::OneK::kIs1000);
}

const bool registered = [] {
  static const std::vector<Kernel> kernels = bench::kernel_benchmarks<Device::cpu>(64);
  for (const Kernel& k : kernels) {
    const std::string name = k.family + "_" + k.call + "/" + std::to_string(k.node.channels) + "/" +
                             std::to_string(k.node.size) + "/" + std::to_string(k.node.parts);
    benchmark::RegisterBenchmark(name.c_str(), run, k)
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  }
  return true;
}();

}  // namespace
