// SPDX-License-Identifier: MIT
// Memory whose neighbours cannot be touched: what stands for a device's memory on the host
// executor.
#pragma once

#include <cstddef>
#include <map>

namespace simt {

/// Blocks at one end of pages of their own, poisoned at first (NaN patterns), between pages without
/// access. What the block leaves of its pages is checked for writes.
class GuardedMemory {
 public:
  /// `host_writes`: the host may write to it at any time.
  explicit GuardedMemory(bool host_writes) : host_writes_(host_writes) {}
  /// Null where there is no memory. An access outside faults: on the side of the block's end of its
  /// pages at once but for 15 bytes (kernels read whole 16-byte words), on the other side from the
  /// next page on. Blocks take ends in an irregular order.
  void* allocate(std::size_t bytes);
  /// False for what is no block. Reports a write outside the block as a fault.
  bool free(void* data);
  bool holds(const void* data) const {
    return blocks_.contains(static_cast<const std::byte*>(data));
  }
  /// Live bytes.
  std::size_t bytes() const;
  /// Reports writes outside live blocks as faults.
  void check() const;
  /// Opens the pages without access around `address` where they are of a block, and reports the
  /// access as a fault; false where they are not.
  bool forgive(const void* address);

 private:
  /// Pages with access; those before and after them have none.
  struct Pages {
    std::byte* begin;
    std::size_t bytes;
  };
  struct Block {
    std::size_t bytes;
    Pages pages;
  };
  static Pages map(std::size_t bytes);
  static void check(const std::byte* data, const Block& block);

  bool host_writes_;
  std::map<const std::byte*, Block> blocks_;
};

GuardedMemory& device_memory();
GuardedMemory& pinned_memory();

/// While it lives, an access to the pages without access around a block is reported as a fault and
/// the program goes on, so that a test can name what it ran. Other violations end the program as
/// ever.
class AccessWatch {
 public:
  AccessWatch();
  ~AccessWatch();
  AccessWatch(const AccessWatch&) = delete;
  AccessWatch& operator=(const AccessWatch&) = delete;
};

}  // namespace simt
