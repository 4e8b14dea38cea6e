// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "kernels/core/device.h"

/// Memory straight from the system or from CUDA, for the allocator's reservations and for
/// PinnedMemory alone. A device that the build lacks throws Error.
namespace drnas::native {

/// At least `bytes` bytes aligned to 256 (CPU: to a huge page); null when there are not that many.
/// `bytes` is a multiple of reservation_step.
void* allocate(Device device, std::size_t bytes);
/// Addresses of the host without memory behind them, as many as wanted whatever the machine has: a
/// touch of them ends the program. Null when the address space has no room. Given back as the
/// CPU's.
void* addresses(std::size_t bytes);
/// Gives back what allocate(device, bytes) returned. Never throws.
void release(Device device, void* pointer, std::size_t bytes);

/// Sets bytes / compares them with `value`; on CUDA both wait for all work of the device, so that
/// neither may be called while a graph is being captured.
void fill(Device device, void* pointer, std::byte value, std::size_t bytes);
bool holds_only(Device device, const void* pointer, std::byte value, std::size_t bytes);

/// Page-locked memory of the host and the address by which CUDA's kernels reach it; both null where
/// the system locks no more.
struct Pinned {
  void* host = nullptr;
  void* device = nullptr;
};
Pinned allocate_pinned(std::size_t bytes);
/// Waits for the device's work, which may still read it. Never throws.
void release_pinned(void* host);

/// Reservations are multiples of this: a huge page of x86-64 and the granule of CUDA.
inline constexpr std::size_t reservation_step = std::size_t{2} << 20;

}  // namespace drnas::native
