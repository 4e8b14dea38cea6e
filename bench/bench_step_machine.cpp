// SPDX-License-Identifier: MIT
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <sstream>

#include "bench/machine.h"
#ifdef DRNAS_WITH_CUDA
#include "kernels/core/launch.h"
#endif
#include "kernels/core/simd.h"

namespace drnas::bench {
namespace {

#ifdef __AVX512F__
constexpr int lanes = 16;
#else
constexpr int lanes = 8;
#endif
constexpr int chains = 12;  // enough independent chains to hide the latency of two units

/// Runs `rounds` multiply-adds in each chain; returns a value that depends on all.
float multiply_add(int rounds) {
  using Value = kernels::Lanes<lanes>;
  Value sum[chains];
  for (int k = 0; k < chains; ++k) sum[k] = kernels::splat<lanes>(1.0f + static_cast<float>(k));
  const Value a = kernels::splat<lanes>(0.999f), b = kernels::splat<lanes>(1e-3f);
  for (int i = 0; i < rounds; ++i)
#pragma GCC unroll 12
    for (int k = 0; k < chains; ++k) sum[k] = sum[k] * a + b;
  float total = 0;
  for (int k = 0; k < chains; ++k)
    for (int l = 0; l < lanes; ++l) total += sum[k][l];
  return total;
}

}  // namespace

std::int64_t process_bytes(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(field + ":")) return std::stoll(line.substr(field.size() + 1)) * 1024;
  return 0;
}

double measured_peak_gflops(int threads) {
  constexpr int rounds = 4000000, repeats = 5;
  double best = 0;
  volatile float sink = 0;
  for (int r = 0; r < repeats; ++r) {
    const auto start = std::chrono::steady_clock::now();
#pragma omp parallel num_threads(threads)
    {
      const float value = multiply_add(rounds);
#pragma omp critical
      sink = sink + value;
    }
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, 2.0 * rounds * chains * lanes * threads / seconds / 1e9);
  }
  return best;
}

CardMemory card_memory() {
  CardMemory memory;
#ifdef DRNAS_WITH_CUDA
  std::size_t free = 0, total = 0;
  kernels::require_cuda(cudaMemGetInfo(&free, &total), "ask for the card's free memory");
  memory = {static_cast<std::int64_t>(total), static_cast<std::int64_t>(total - free)};
#endif
  return memory;
}

}  // namespace drnas::bench
