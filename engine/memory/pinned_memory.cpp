// SPDX-License-Identifier: MIT
#include "engine/memory/pinned_memory.h"

#include <algorithm>

#include "engine/memory/allocator.h"
#include "engine/memory/native_memory.h"
#include "engine/memory/planning.h"

namespace drnas {

std::unique_ptr<PinnedMemory> PinnedMemory::allocate(std::size_t bytes) {
  constexpr std::size_t step = Allocator::block_bytes;
  const std::size_t rounded = (std::max<std::size_t>(bytes, 1) + step - 1) / step * step;
  std::unique_ptr<PinnedMemory> memory(new PinnedMemory(rounded));
  if (planning()) return memory;
  const native::Pinned pinned = native::allocate_pinned(rounded);
  if (pinned.host == nullptr) return nullptr;
  memory->host_ = static_cast<std::byte*>(pinned.host);
  memory->device_ = static_cast<const std::byte*>(pinned.device);
  return memory;
}

PinnedMemory::~PinnedMemory() {
  if (host_ != nullptr) native::release_pinned(host_);
}

}  // namespace drnas
