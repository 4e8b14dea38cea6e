// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

#include "engine/memory/allocator.h"

namespace drnas {

/// What one step gave, and where its time went (milliseconds). The phases of a recorded step are
/// not told apart: they are zero.
struct StepResult {
  double loss = 0;
  int count = 0, top1 = 0, top5 = 0;
  double gradient_norm = 0;  ///< before clipping; in an architecture step that of alpha
  std::uint32_t draw = 0;    ///< number of its random draw: mixing weights, or drop path
  double forward_ms = 0, backward_ms = 0, optimizer_ms = 0, total_ms = 0;
};

/// Seconds since it was made.
class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// Milliseconds since the last call.
class Laps {
 public:
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const double ms = std::chrono::duration<double, std::milli>(now - last_).count();
    last_ = now;
    return ms;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

/// Sums over the batches of an epoch, added in order.
struct EpochTotals {
  double loss = 0;  ///< sum of loss * images
  std::int64_t images = 0, top1 = 0, top5 = 0;

  void add(const StepResult& step) {
    loss += step.loss * step.count;
    images += step.count;
    top1 += step.top1;
    top5 += step.top5;
  }
  double mean_loss() const { return images ? loss / static_cast<double>(images) : 0.0; }
  double top1_percent() const { return percent(top1); }
  double top5_percent() const { return percent(top5); }

 private:
  double percent(std::int64_t hits) const {
    return images ? 100.0 * static_cast<double>(hits) / static_cast<double>(images) : 0.0;
  }
};

/// Most tensor memory in use at once, and what it was used for at that moment (bytes).
struct MemoryPeak {
  std::int64_t total = 0;
  std::array<std::int64_t, memory_tag_count> by_tag{};

  void update(const MemoryCounters& now) {
    if (now.peak <= total) return;
    total = now.peak;
    by_tag = now.by_tag_at_peak;
  }
};
inline MemoryPeak peak_of(const MemoryCounters& counters) {
  return {counters.peak, counters.by_tag_at_peak};
}

}  // namespace drnas
