// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <map>
#include <vector>

namespace simt {

/// The addresses that memory of devices and pinned memory get, in one piece: what is known of a
/// byte is found by its distance from the start. Nothing is accessible until its user makes it so.
class AddressRange {
 public:
  static constexpr std::size_t bytes = std::size_t{1} << 36;

  AddressRange();
  /// `size` bytes, a multiple of a page; null where there are no more.
  std::byte* take(std::size_t size);
  /// Gives them back, with what they hold.
  void give(std::byte* begin, std::size_t size);
  bool holds(const std::byte* address) const {
    return static_cast<std::size_t>(address - begin_) < bytes;
  }
  const std::byte* begin() const { return begin_; }

 private:
  std::byte* begin_;
  std::size_t used_ = 0;
  std::map<std::size_t, std::vector<std::byte*>> given_back_;  // by size
};

/// Never destroyed: static tensors give their memory back late.
AddressRange& address_range();

}  // namespace simt
