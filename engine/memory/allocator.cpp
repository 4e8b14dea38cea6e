// SPDX-License-Identifier: MIT
#include "engine/memory/allocator.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <iterator>
#include <limits>
#include <utility>

#include "engine/memory/native_memory.h"
#include "kernels/core/error.h"

namespace drnas {
namespace {

constexpr std::size_t smallest_reservation = std::size_t{4} << 20;
/// Of imaginary memory: more than any plan fills.
constexpr std::size_t endless = std::size_t{1} << 40;
constexpr std::size_t guard_bytes = 64;
constexpr std::byte guard_value{0xc3};
constexpr std::byte poison_value{0xff};  // 0xff everywhere is a NaN as float, double and bfloat16

constexpr std::size_t round_up(std::size_t value, std::size_t step) {
  return (value + step - 1) / step * step;
}

thread_local Allocator* substitute = nullptr;

std::size_t index_of(MemoryTag tag) { return static_cast<std::size_t>(tag); }

std::string address_text(const void* pointer) {
  char text[32];
  std::snprintf(text, sizeof(text), "%p", pointer);
  return text;
}

/// "activations 1.50 GiB, weights 20.00 MiB, gradients 20.00 MiB": the three largest tags.
std::string largest_tags(const std::array<std::int64_t, memory_tag_count>& live) {
  std::array<std::size_t, memory_tag_count> order{};
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return live[a] > live[b]; });
  std::string text;
  for (std::size_t i = 0; i < 3 && live[order[i]] > 0; ++i)
    text += std::string(i > 0 ? ", " : "") + to_string(static_cast<MemoryTag>(order[i])) + " " +
            format_bytes(live[order[i]]);
  return text.empty() ? "none" : text;
}

}  // namespace

const char* to_string(MemoryTag tag) {
  static constexpr const char* names[memory_tag_count] = {
      "weights", "gradients", "optimizer", "activations", "statistics", "workspace", "data"};
  return names[index_of(tag)];
}

std::string format_bytes(std::int64_t bytes) {
  static constexpr const char* units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes > -1024 && bytes < 1024) return std::to_string(bytes) + " B";
  double value = static_cast<double>(bytes) / 1024;
  int unit = 0;
  for (; std::abs(value) >= 1023.995; ++unit) value /= 1024;  // would print as 1024.00
  char text[32];
  std::snprintf(text, sizeof(text), "%.2f %s", value, units[unit]);
  return text;
}

std::byte* Allocator::Block::address() const {
  return home == nullptr ? nullptr : home->base + offset;
}

/// The end of an arena counts as larger than all: it is taken last, so that an arena of the planned
/// size hands out what the endless one of the plan did.
std::size_t Allocator::FreeOrder::size(const Block& block) {
  const bool end =
      block.home != nullptr && block.home->arena && block.offset + block.bytes == block.home->bytes;
  return end ? std::numeric_limits<std::size_t>::max() : block.bytes;
}

bool Allocator::FreeOrder::operator()(const Block* a, const Block* b) const {
  if (size(*a) != size(*b)) return size(*a) < size(*b);
  return std::less<const std::byte*>()(a->address(), b->address());
}

Allocator::Allocator(Device device, Memory memory) : device_(device), memory_(memory) {
#ifndef NDEBUG
  checks_ = memory == Memory::real;
#endif
}

Allocator::~Allocator() {
  for (const auto& reservation : reservations_)
    native::release(native_device(), reservation->base, reservation->bytes);
}

Allocator& Allocator::of(Device device) {
  // Never destroyed: tensors in static storage may outlive any order, and CUDA may be gone by then.
  static Allocator* const cpu = new Allocator(Device::cpu);
  static Allocator* const cuda = new Allocator(Device::cuda);
  if (substitute && substitute->device() == device) return *substitute;
  return device == Device::cpu ? *cpu : *cuda;
}

void* Allocator::native_allocate(std::size_t bytes) const {
  return memory_ == Memory::imaginary ? native::addresses(bytes) : native::allocate(device_, bytes);
}

void Allocator::stand_in(Allocator* pool) { substitute = pool; }

std::size_t Allocator::guard_end(const Block& block) const {
  return block.home->fenced ? block.home->fenced : block.bytes;
}

void* Allocator::allocate(std::size_t bytes, MemoryTag tag) {
  const std::lock_guard lock(mutex_);
  // Half of the address space keeps every sum below from overflowing.
  if (bytes > static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) / 2)
    throw Error("cannot allocate " + std::to_string(bytes) + " bytes for " + to_string(tag));
  const std::size_t needed = std::max<std::size_t>(bytes + (checks_ ? guard_bytes : 0), 1);
  const std::size_t rounded = round_up(needed, block_bytes);
  check_budget(rounded, tag);
  Block& block = fenced_ ? take_fenced(rounded, needed, tag) : take(rounded, tag);
  block.wanted = bytes;
  block.tag = tag;
  block.guarded = checks_;
  if (checks_) {
    native::fill(device_, block.address(), poison_value, bytes);
    native::fill(device_, block.address() + bytes, guard_value, guard_end(block) - bytes);
  }
  used_blocks_[block.address()] = &block;
  counters_.live += static_cast<std::int64_t>(rounded);
  counters_.live_by_tag[index_of(tag)] += static_cast<std::int64_t>(rounded);
  if (counters_.live > counters_.peak) {
    counters_.peak = counters_.live;
    counters_.by_tag_at_peak = counters_.live_by_tag;
  }
  return block.address();
}

void Allocator::free(void* pointer) {
  if (pointer == nullptr) return;
  const std::lock_guard lock(mutex_);
  const auto found = used_blocks_.find(pointer);
  if (found == used_blocks_.end())
    throw Error("cannot free " + address_text(pointer) +
                ": expected a live block of this allocator");
  Block& block = *found->second;
  const MemoryTag tag = block.tag;
  const std::size_t wanted = block.wanted;
  const bool overwritten =
      block.guarded && !native::holds_only(device_, block.address() + wanted, guard_value,
                                           guard_end(block) - wanted);
  if (checks_)
    native::fill(device_, block.address(), poison_value, block.home->fenced ? wanted : block.bytes);
  used_blocks_.erase(found);
  counters_.live -= static_cast<std::int64_t>(block.bytes);
  counters_.live_by_tag[index_of(tag)] -= static_cast<std::int64_t>(block.bytes);
  give(block);
  if (overwritten)
    throw Error("memory after a block of " + std::to_string(wanted) + " bytes for " +
                to_string(tag) + " at " + address_text(pointer) + " was overwritten");
}

MemoryCounters Allocator::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

void Allocator::reset_peak() {
  const std::lock_guard lock(mutex_);
  counters_.peak = counters_.live;
  counters_.by_tag_at_peak = counters_.live_by_tag;
}

std::int64_t Allocator::set_budget(std::int64_t bytes) {
  const std::lock_guard lock(mutex_);
  return std::exchange(budget_, bytes);
}

bool Allocator::set_checks(bool on) {
  const std::lock_guard lock(mutex_);
  return std::exchange(checks_, on);
}

bool Allocator::set_fenced(bool on) {
  const std::lock_guard lock(mutex_);
  return std::exchange(fenced_, on);
}

bool Allocator::set_captured(bool on) {
  const std::lock_guard lock(mutex_);
  return std::exchange(captured_, on);
}

void Allocator::count_captured(int change) {
  const std::lock_guard lock(mutex_);
  captured_steps_ += change;
  if (captured_steps_ == 0) release_unused();
}

void Allocator::trim() {
  const std::lock_guard lock(mutex_);
  release_unused();
}

void Allocator::prepare(const MemoryExtents& planned) {
  const std::lock_guard lock(mutex_);
  if (fenced_ || planned == MemoryExtents{}) return;
  release_unused();
  const bool before = captured_;
  for (const bool captured : {false, true}) {
    captured_ = captured;
    const auto bytes = static_cast<std::size_t>(captured ? planned.captured : planned.ordinary);
    const bool fresh =
        std::none_of(reservations_.begin(), reservations_.end(),
                     [&](const auto& reservation) { return reservation->captured == captured; });
    if (fresh && bytes > 0)
      reserve_arena(round_up(bytes, native::reservation_step), MemoryTag::workspace);
  }
  captured_ = before;
}

void Allocator::check_budget(std::size_t bytes, MemoryTag tag) const {
  const auto more = static_cast<std::int64_t>(bytes);
  if (budget_ == 0 || counters_.live + more <= budget_) return;
  throw Error("memory limit of " + format_bytes(budget_) + " exceeded: " + format_bytes(more) +
              " more needed for " + to_string(tag) + " with " + format_bytes(counters_.live) +
              " live; largest: " + largest_tags(counters_.live_by_tag));
}

Allocator::Block& Allocator::take(std::size_t bytes, MemoryTag tag) {
  Block least;
  least.bytes = bytes;
  FreeBlocks& free = free_blocks_[captured_];
  auto found = free.lower_bound(&least);
  if (found == free.end() || (*found)->bytes < bytes) {
    reserve(bytes, tag);
    found = free.lower_bound(&least);
  }
  Block& block = **found;
  free.erase(found);
  block.used = true;
  if (block.bytes > bytes) {
    Block& rest = block.home->blocks[block.offset + bytes];
    rest.home = block.home;
    rest.offset = block.offset + bytes;
    rest.bytes = block.bytes - bytes;
    block.bytes = bytes;
    free.insert(&rest);
  }
  std::int64_t& extent = captured_ ? counters_.extents.captured : counters_.extents.ordinary;
  if (block.home->arena) extent = std::max(extent, static_cast<std::int64_t>(block.offset + bytes));
  return block;
}

Allocator::Block& Allocator::take_fenced(std::size_t bytes, std::size_t wanted, MemoryTag tag) {
  Block* block = nullptr;
  if (const auto found = fenced_blocks_.find(wanted); captured_ && found != fenced_blocks_.end()) {
    block = found->second;
    fenced_blocks_.erase(found);
  } else {
    block = &enter(native_allocate(wanted), bytes, tag);
    block->home->fenced = wanted;
  }
  block->used = true;
  return *block;
}

void Allocator::give(Block& block) {
  if (block.home->fenced) {
    block.used = false;
    if (block.home->captured)
      fenced_blocks_.emplace(block.home->fenced, &block);
    else
      release_unused();
    return;
  }
  auto& blocks = block.home->blocks;
  FreeBlocks& free = free_blocks(block);
  auto self = blocks.find(block.offset);
  block.used = false;
  if (const auto next = std::next(self); next != blocks.end() && !next->second.used) {
    free.erase(&next->second);
    block.bytes += next->second.bytes;
    blocks.erase(next);
  }
  if (self != blocks.begin() && !std::prev(self)->second.used) {
    Block& before = std::prev(self)->second;
    free.erase(&before);
    before.bytes += block.bytes;
    blocks.erase(self);
    free.insert(&before);
  } else {
    free.insert(&block);
  }
}

bool Allocator::reserve_arena(std::size_t bytes, MemoryTag tag) {
  void* base = native_allocate(bytes);
  if (base == nullptr) return false;
  Block& block = enter(base, bytes, tag);
  block.home->arena = true;
  free_blocks(block).insert(&block);
  return true;
}

void Allocator::reserve(std::size_t bytes, MemoryTag tag) {
  const bool plans = memory_ == Memory::imaginary && device_ == Device::cuda;
  if (plans && free_blocks_[captured_].empty() && bytes < endless && reserve_arena(endless, tag))
    return;
  const std::size_t size =
      std::max(smallest_reservation, round_up(bytes, native::reservation_step));
  // Each replaced reservation is too small for this request, hence smaller than the new one: sizes
  // only grow and a repeated pattern of requests comes to rest. On CUDA giving back is slow and
  // captured graphs may know the addresses, so it is the last resort.
  if (device_ == Device::cpu) release_unused();
  void* base = native_allocate(size);
  if (base == nullptr && device_ != Device::cpu && !captured_) {
    release_unused();
    base = native_allocate(size);
  }
  Block& block = enter(base, size, tag);
  free_blocks(block).insert(&block);
}

Allocator::Block& Allocator::enter(void* base, std::size_t size, MemoryTag tag) {
  if (base == nullptr)
    throw Error("out of memory: " + format_bytes(static_cast<std::int64_t>(size)) +
                " more needed for " + to_string(tag) + " with " + format_bytes(counters_.live) +
                " live; largest: " + largest_tags(counters_.live_by_tag));
  auto& reservation = *reservations_.emplace_back(std::make_unique<Reservation>());
  reservation.base = static_cast<std::byte*>(base);
  reservation.bytes = size;
  reservation.captured = captured_;
  Block& block = reservation.blocks[0];
  block.home = &reservation;
  block.bytes = size;
  counters_.reserved += static_cast<std::int64_t>(size);
  ++counters_.native_allocations;
  return block;
}

void Allocator::forget(Block& free_block) {
  const std::size_t fenced = free_block.home->fenced;
  if (!fenced) {
    free_blocks(free_block).erase(&free_block);
    return;
  }
  const auto [first, last] = fenced_blocks_.equal_range(fenced);
  const auto found =
      std::find_if(first, last, [&](const auto& entry) { return entry.second == &free_block; });
  if (found != last) fenced_blocks_.erase(found);  // else it was just freed
}

void Allocator::release_unused() {
  std::erase_if(reservations_, [this](const std::unique_ptr<Reservation>& reservation) {
    Block& first = reservation->blocks.begin()->second;
    if (first.used || first.bytes != reservation->bytes) return false;
    if (reservation->captured && captured_steps_ > 0) return false;  // they know its addresses
    forget(first);
    native::release(native_device(), reservation->base, reservation->bytes);
    counters_.reserved -= static_cast<std::int64_t>(reservation->bytes);
    return true;
  });
}

}  // namespace drnas
