// SPDX-License-Identifier: MIT
#include "shadow.h"

#include <algorithm>
#include <cstring>

#include "../address_range.h"
#include "reserve.h"
#include "symbols.h"

extern "C" const std::byte __executable_start, end;

namespace simt::check {
namespace {

constexpr std::size_t cell_bytes = 2;
constexpr std::size_t word_bytes = 16;  // of the widest access
// Writers and readers: a thread, with atomics apart; many threads of a warp; many of the block.
constexpr std::uint16_t atomic_bit = 0x8000, many_of_warp = 0x1000, many = 0x2000;
constexpr int no_warp = -1000;

int thread_of(std::uint16_t who) {
  if (who & many) return no_warp;
  if (who & many_of_warp) return (who & ~many_of_warp) * 32;
  return who & ~atomic_bit;
}

/// Both have read since they were last ordered.
std::uint16_t together(std::uint16_t a, int b) {
  if (a == b) return a;
  if (!(a & many) && thread_of(a) / 32 == b / 32)
    return static_cast<std::uint16_t>(many_of_warp | b / 32);
  return many;
}

}  // namespace

Shadow::Shadow()
    : device_{address_range().begin(), reserve<Cell>(AddressRange::bytes / cell_bytes),
              reserve<std::uint8_t>(AddressRange::bytes)},
      shared_{nullptr, reserve<Cell>(max_shared_bytes / cell_bytes + 1),
              reserve<std::uint8_t>(max_shared_bytes + word_bytes)} {}

void Shadow::allocated(const void* address, std::size_t bytes, bool written) {
  std::fill_n(flags_of(address), bytes,
              static_cast<std::uint8_t>(written ? inside | has_value : inside));
}

void Shadow::freed(const void* address, std::size_t bytes) {
  std::fill_n(flags_of(address), bytes, std::uint8_t{0});
}

std::uint8_t* Shadow::flags_of(const void* address) const {
  const auto* const at = static_cast<const std::byte*>(address);
  if (address_range().holds(at)) return device_.flags + (at - device_.begin);
  const auto offset = static_cast<std::size_t>(at - shared_.begin);
  return offset < shared_bytes_ ? shared_.flags + offset : nullptr;
}

void Shadow::written(const void* address, std::size_t bytes) {
  if (std::uint8_t* const flags = flags_of(address))
    for (std::size_t i = 0; i < bytes; ++i) flags[i] |= has_value;
}

void Shadow::poisoned(const void* address, std::size_t bytes) {
  if (std::uint8_t* const flags = flags_of(address))
    for (std::size_t i = 0; i < bytes; ++i) flags[i] &= inside;
}

void Shadow::written_to_end(const void* address) {
  for (std::uint8_t* flag = flags_of(address); flag != nullptr && *flag & inside; ++flag)
    *flag |= has_value;
}

void Shadow::begin_launch(const Launch& launch) { launch_ = launch; }

void Shadow::begin_block(std::int64_t block, const void* shared, std::size_t shared_bytes) {
  block_ = block;
  shared_.begin = static_cast<const std::byte*>(shared);
  shared_bytes_ = shared_bytes;
  std::fill_n(shared_.flags, shared_bytes, std::uint8_t{inside});
  std::fill_n(shared_.flags + shared_bytes, word_bytes, std::uint8_t{0});
}

Space Shadow::space_of(const std::byte* address) const {
  if (address_range().holds(address)) return Space::device;
  const auto offset = static_cast<std::size_t>(address - shared_.begin);
  return offset < max_shared_bytes ? Space::shared : Space::other;
}

bool Shadow::is_of_host_program(const std::byte* address) const {
  // The program's constants, its own variables, a thread's stack, the arguments of the kernel.
  constexpr std::size_t stack_bytes = std::size_t{1} << 18;
  const auto* const frame = static_cast<const std::byte*>(__builtin_frame_address(0));
  const auto within = [address](const void* begin, std::size_t bytes) {
    return static_cast<std::size_t>(address - static_cast<const std::byte*>(begin)) < bytes;
  };
  return within(&__executable_start, static_cast<std::size_t>(&end - &__executable_start)) ||
         within(frame - stack_bytes, 2 * stack_bytes) ||
         within(launch_.arguments, launch_.argument_bytes) ||
         within(launch_.call, launch_.call_bytes);
}

void Shadow::access(const Access& access, int thread, Space space, Order& order) {
  thread_ = thread;
  if (space == Space::other) {
    if (!is_of_host_program(access.address)) find(access, "memory of the host", "");
    return;
  }
  const Ground& ground = space == Space::device ? device_ : shared_;
  check_flags(access, ground, space);
  const auto offset = static_cast<std::size_t>(access.address - ground.begin);
  for (std::size_t cell = offset / cell_bytes; cell * cell_bytes < offset + access.bytes; ++cell)
    check_cell(ground.cells[cell], access, thread, space, order);
}

void Shadow::misaligned(const Access& access, int thread) {
  thread_ = thread;
  find(access, "not aligned", "");
}

void Shadow::check_flags(const Access& access, const Ground& ground, Space space) {
  std::uint8_t* const flags = ground.flags + (access.address - ground.begin);
  if (access.write) {
    for (std::uint32_t i = 0; i < access.bytes; ++i) {
      if (!(flags[i] & inside)) return find(access, "outside its array", "");
      flags[i] |= has_value;
    }
    return;
  }
  for (std::uint32_t i = 0; i < access.bytes; ++i) {
    if (flags[i] == (inside | has_value)) continue;
    // A word of 16 bytes may hold the end of an array: device memory comes in multiples of more.
    if (i > 0 && !(flags[i] & inside) && space == Space::device && access.bytes == word_bytes)
      return;
    return find(access, flags[i] & inside ? "never written" : "outside its array", "");
  }
}

void Shadow::check_cell(Cell& cell, const Access& access, int thread, Space space, Order& order) {
  const auto site = Symbols::offset(access.site);
  const Moment now{order.now(), thread, access.is_atomic, access.address};
  const auto conflicts = [&](Stamp stamp, std::uint16_t who) {
    if (!order.in_launch(stamp) || (access.is_atomic && (who & atomic_bit))) return false;
    if (space == Space::shared && !order.in_block(stamp)) return false;  // another block's
    if (order.in_block(stamp) && thread_of(who) == thread && !(who & many_of_warp)) return false;
    return !order.ordered({stamp, thread_of(who), (who & atomic_bit) != 0, access.address}, now);
  };
  if (conflicts(cell.written, cell.writer)) race(access, cell, true);
  const auto self = static_cast<std::uint16_t>(thread | (access.is_atomic ? atomic_bit : 0));
  if (access.write) {
    if (conflicts(cell.read, cell.reader)) race(access, cell, false);
    cell.written = order.now();
    cell.writer = self;
    cell.write_site = site;
    return;
  }
  // Readers that nothing orders stay readers.
  const bool in_turn = !order.in_block(cell.read) || cell.reader == self ||
                       order.barrier_since(cell.read, thread_of(cell.reader), thread);
  cell.reader = in_turn ? self : together(cell.reader, thread);
  cell.read = order.now();
  cell.read_site = site;
}

void Shadow::race(const Access& access, const Cell& cell, bool with_write) {
  const std::uint16_t who = with_write ? cell.writer : cell.reader;
  std::string other =
      who & (many | many_of_warp) ? "several threads" : "thread " + std::to_string(thread_of(who));
  find(access, "race", std::string(with_write ? "written" : "read") + " by " + other,
       with_write ? cell.write_site : cell.read_site);
}

void Shadow::find(const Access& access, const char* kind, const std::string& what,
                  std::uint32_t other_site) {
  if (!found_.insert({access.site, other_site, kind}).second) return;
  std::string text = Symbols::function(launch_.kernel) + ", block " + std::to_string(block_) +
                     ", thread " + std::to_string(thread_) + ": " +
                     (access.write ? "writes " : "reads ") + std::to_string(access.bytes) +
                     " bytes at " + Symbols::line(access.site) + ": " + kind;
  if (!what.empty()) text += ", " + what + " at " + Symbols::line(Symbols::address(other_site));
  report_fault(text);
}

}  // namespace simt::check
