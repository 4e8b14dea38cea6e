// SPDX-License-Identifier: MIT
#pragma once

#include "engine/memory/allocator.h"

namespace simt {

/// Every tensor of these tests lies in pages of its own, so that kernels that leave it are found.
/// While this lives the pool works as it does on a GPU, for tests of what it asks of the system.
class PoolAsOnGpu {
 public:
  PoolAsOnGpu() : fenced_(pool().set_fenced(false)) {}
  ~PoolAsOnGpu() { pool().set_fenced(fenced_); }
  PoolAsOnGpu(const PoolAsOnGpu&) = delete;
  PoolAsOnGpu& operator=(const PoolAsOnGpu&) = delete;

 private:
  static drnas::Allocator& pool() { return drnas::Allocator::of(drnas::Device::cuda); }
  bool fenced_;
};

}  // namespace simt
