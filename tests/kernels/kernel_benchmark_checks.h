// SPDX-License-Identifier: MIT
// What the benchmarks time runs, on either device.
#pragma once

#include <cmath>

#include "bench/kernel_benchmarks.h"
#include "tests/support/calls.h"

namespace drnas::test {

/// Every call stays in its buffers and leaves finite results.
template <Device D, class Run>
void check_kernel_benchmarks(const Run& run, int batch) {
  for (const auto& kernel : bench::kernel_benchmarks<D>(batch)) {
    CAPTURE(kernel.family);
    CAPTURE(kernel.call);
    CAPTURE(kernel.node.channels);
    const Results results = run([&](auto& buffers) {
      const Call call = kernel.make()(buffers);
      CHECK(call.bytes > 0);
      return call;
    });
    for (const auto& [name, values] : results)
      CHECK(std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); }));
  }
}

}  // namespace drnas::test
