// SPDX-License-Identifier: MIT
#include "engine/memory/planning.h"

namespace drnas {
namespace {

thread_local bool plans = false;

}  // namespace

bool planning() { return plans; }

Planning::Planning(Device device) : pool_(device, Allocator::Memory::imaginary) {
  if (plans) throw Error("planning: already planning on this thread");
  plans = true;
  Allocator::stand_in(&pool_);
}

Planning::~Planning() {
  Allocator::stand_in(nullptr);
  plans = false;
}

}  // namespace drnas
