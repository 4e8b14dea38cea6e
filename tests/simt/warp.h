// SPDX-License-Identifier: MIT
// What the lanes of a warp give each other, for the executor's collective operations.
#pragma once

#include <cstddef>

namespace simt {

/// Most bytes of a lane.
inline constexpr std::size_t max_given_bytes = 32;

/// What each lane of the calling thread's warp gave.
class Given {
 public:
  Given(int first, unsigned slot) : first_(first), slot_(slot) {}
  /// Null, and a fault, where the warp has no such lane.
  const unsigned char* of(int lane) const;

 private:
  int first_;
  unsigned slot_;
};

/// Every lane of the warp must call it: a lane that has ended, or waits elsewhere, is an error. The
/// result holds until the thread's second next call.
Given give(const void* value, std::size_t bytes, unsigned mask);

/// Copies of the threads of a block: before its first thread runs, and after its last.
void begin_copies(int threads);
void end_copies();

}  // namespace simt
