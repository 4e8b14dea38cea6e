// SPDX-License-Identifier: MIT
#include "guarded_memory.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "address_range.h"
#include "check/watch.h"
#include "executor.h"

namespace simt {
namespace {

constexpr std::byte guard_value{0xa5}, poison_value{0xff};
constexpr std::size_t word_bytes = 16;

std::size_t page_bytes() {
  static const auto bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}
/// Of the pages without access on each side: far enough for an index that is off by rows.
std::size_t guard_bytes() { return 16 * page_bytes(); }

std::size_t round_up(std::size_t bytes, std::size_t step) {
  return (bytes + step - 1) / step * step;
}

bool untouched(const std::byte* from, const std::byte* to) {
  return std::all_of(from, to, [](std::byte b) { return b == guard_value; });
}

struct sigaction before_watch;

void on_violation(int, siginfo_t* info, void*) {
  if (device_memory().forgive(info->si_addr) || pinned_memory().forgive(info->si_addr)) return;
  ::sigaction(SIGSEGV, &before_watch, nullptr);  // comes again, for the handler that was there
}

}  // namespace

GuardedMemory::Pages GuardedMemory::map(std::size_t bytes) {
  const std::size_t inner = round_up(bytes, page_bytes()), all = inner + 2 * guard_bytes();
  std::byte* const taken = address_range().take(all);
  if (taken == nullptr) return {nullptr, 0};
  const Pages pages{taken + guard_bytes(), inner};
  if (::mprotect(pages.begin, inner, PROT_READ | PROT_WRITE) == 0) return pages;
  address_range().give(taken, all);
  return {nullptr, 0};
}

void GuardedMemory::check(const std::byte* data, const Block& block) {
  const Pages& pages = block.pages;
  if (!untouched(pages.begin, data) || !untouched(data + block.bytes, pages.begin + pages.bytes))
    report_fault("a write outside memory of " + std::to_string(block.bytes) + " bytes");
}

void* GuardedMemory::allocate(std::size_t bytes) {
  static std::uint32_t count = 0;
  const std::size_t whole = round_up(std::max<std::size_t>(bytes, 1), word_bytes);
  const Pages pages = map(whole);
  if (!pages.begin) return nullptr;
  const bool at_front = (++count * 0x9e3779b9u) >> 31;
  std::byte* const data = pages.begin + (at_front ? 0 : pages.bytes - whole);
  std::fill(pages.begin, pages.begin + pages.bytes, guard_value);
  std::fill(data, data + bytes, poison_value);
  blocks_[data] = {bytes, pages};
  check::allocated(data, bytes, host_writes_);
  return data;
}

bool GuardedMemory::free(void* data) {
  const auto found = blocks_.find(static_cast<const std::byte*>(data));
  if (found == blocks_.end()) return false;
  check(found->first, found->second);
  const Pages& pages = found->second.pages;
  check::freed(found->first, found->second.bytes);
  address_range().give(pages.begin - guard_bytes(), pages.bytes + 2 * guard_bytes());
  blocks_.erase(found);
  return true;
}

std::size_t GuardedMemory::bytes() const {
  std::size_t sum = 0;
  for (const auto& [data, block] : blocks_) sum += block.bytes;
  return sum;
}

void GuardedMemory::check() const {
  for (const auto& [data, block] : blocks_) check(data, block);
}

bool GuardedMemory::forgive(const void* address) {
  const auto* at = static_cast<const std::byte*>(address);
  for (const auto& [data, block] : blocks_) {
    const Pages& pages = block.pages;
    std::byte* const end = pages.begin + pages.bytes;
    if (at < pages.begin - guard_bytes() || at >= end + guard_bytes()) continue;
    std::byte* const opened = at < pages.begin ? pages.begin - guard_bytes() : end;
    if (::mprotect(opened, guard_bytes(), PROT_READ | PROT_WRITE) != 0) return false;
    report_fault("an access outside memory of " + std::to_string(block.bytes) + " bytes, at byte " +
                 std::to_string(at - data));
    return true;
  }
  return false;
}

// Never destroyed: static tensors give their memory back late.
GuardedMemory& device_memory() {
  static auto* memory = new GuardedMemory(false);
  return *memory;
}
GuardedMemory& pinned_memory() {
  static auto* memory = new GuardedMemory(true);
  return *memory;
}

AccessWatch::AccessWatch() {
  struct sigaction watch {};
  watch.sa_sigaction = on_violation;
  watch.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  ::sigaction(SIGSEGV, &watch, &before_watch);
}

AccessWatch::~AccessWatch() { ::sigaction(SIGSEGV, &before_watch, nullptr); }

}  // namespace simt
