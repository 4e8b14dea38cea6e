// SPDX-License-Identifier: MIT
#pragma once

#include <omp.h>

#include <cstdint>

namespace drnas::kernels {

/// Splits [0, count) into one contiguous range per thread, the same for every run with this thread
/// count, and calls `body(thread, begin, end)`.
template <class Body>
void parallel_ranges(std::int64_t count, const Body& body) {
#pragma omp parallel
  {
    const std::int64_t threads = omp_get_num_threads(), thread = omp_get_thread_num();
    body(static_cast<int>(thread), count * thread / threads, count * (thread + 1) / threads);
  }
}

/// Threads that parallel_ranges will use.
inline int thread_count() { return omp_in_parallel() ? 1 : omp_get_max_threads(); }

inline constexpr std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace drnas::kernels
