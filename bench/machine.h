// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

namespace drnas::bench {

/// A field of /proc/self/status in bytes ("VmRSS", "VmHWM"); 0 where there is no such file.
std::int64_t process_bytes(const std::string& field);
/// Float32 multiply-adds of all threads, in GFLOP/s: the best of several short runs of a loop in
/// registers.
double measured_peak_gflops(int threads);
/// Device memory of the card as CUDA counts it, all processes together; zeros without CUDA. Makes
/// this process's CUDA context where there is none yet.
struct CardMemory {
  std::int64_t total = 0, used = 0;
};
CardMemory card_memory();

}  // namespace drnas::bench
