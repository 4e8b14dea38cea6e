// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

namespace simt {

/// A stack of its own that runs `entry` until it hands control back. Small and quick: one switch
/// saves the registers that a call must preserve.
class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Prepares the next resume() to call `entry()`, which must not return but leave for good by
  /// suspend(true).
  void start(void (*entry)());
  /// From the scheduler: runs the fiber until it suspends.
  void resume();
  /// From inside: back to the scheduler. `last`: never to be resumed.
  static void suspend(bool last);

 private:
  struct Context;
  Context* context_;
};

}  // namespace simt
