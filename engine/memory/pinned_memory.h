// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>

namespace drnas {

/// Page-locked memory of the host that CUDA's kernels read over the bus. None of the device's
/// memory: no allocator counts it. Must not die while a step is being captured.
class PinnedMemory {
 public:
  /// At least `bytes` bytes, aligned to 256; null where the system locks no more. While planning
  /// (see planning.h) it holds nothing. Throws Error where the build lacks CUDA or it fails.
  static std::unique_ptr<PinnedMemory> allocate(std::size_t bytes);
  ~PinnedMemory();
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;

  /// The same memory by the host's address and by the device's; null while planning.
  std::byte* host() const { return host_; }
  const std::byte* device() const { return device_; }
  std::size_t bytes() const { return bytes_; }

 private:
  explicit PinnedMemory(std::size_t bytes) : bytes_(bytes) {}

  std::byte* host_ = nullptr;
  const std::byte* device_ = nullptr;
  std::size_t bytes_;
};

}  // namespace drnas
