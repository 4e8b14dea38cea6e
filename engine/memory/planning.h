// SPDX-License-Identifier: MIT
#pragma once

#include "engine/memory/allocator.h"

namespace drnas {

/// Does this thread only plan?
bool planning();

/// While it lives, this thread's tensors of `device` come from a pool whose memory is never
/// touched, and kernels, copies and fills are left out: what a network and its steps will need can
/// be counted without computing anything. (Where cuDNN's convolutions are wanted it is asked
/// how much scratch they need, which needs a GPU.) All tensors made meanwhile must die before it.
class Planning {
 public:
  explicit Planning(Device device);
  ~Planning();
  Planning(const Planning&) = delete;
  Planning& operator=(const Planning&) = delete;

  MemoryCounters counters() const { return pool_.counters(); }

 private:
  Allocator pool_;
};

}  // namespace drnas
