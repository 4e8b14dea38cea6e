// SPDX-License-Identifier: MIT
#pragma once

#include "engine/memory/allocator.h"

namespace drnas::test {

/// While it lives, tensors of the CPU have no guard bytes, which debug builds add and plans do not
/// count.
class PlainMemory {
 public:
  PlainMemory() : before_(Allocator::of(Device::cpu).set_checks(false)) {}
  ~PlainMemory() { Allocator::of(Device::cpu).set_checks(before_); }
  PlainMemory(const PlainMemory&) = delete;
  PlainMemory& operator=(const PlainMemory&) = delete;

 private:
  bool before_;
};

}  // namespace drnas::test
