// SPDX-License-Identifier: MIT
#include "address_range.h"

#include <sys/mman.h>

#include <stdexcept>

namespace simt {
namespace {

constexpr int closed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

}  // namespace

AddressRange::AddressRange() {
  void* const memory = ::mmap(nullptr, bytes, PROT_NONE, closed, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("no address space for device memory");
  begin_ = static_cast<std::byte*>(memory);
}

std::byte* AddressRange::take(std::size_t size) {
  std::vector<std::byte*>& old = given_back_[size];
  if (!old.empty()) {
    std::byte* const begin = old.back();
    old.pop_back();
    return begin;
  }
  if (size > bytes - used_) return nullptr;
  used_ += size;
  return begin_ + used_ - size;
}

void AddressRange::give(std::byte* begin, std::size_t size) {
  if (::mmap(begin, size, PROT_NONE, closed | MAP_FIXED, -1, 0) == MAP_FAILED)
    throw std::runtime_error("cannot close device memory");
  given_back_[size].push_back(begin);
}

AddressRange& address_range() {
  static auto& range = *new AddressRange;
  return range;
}

}  // namespace simt
