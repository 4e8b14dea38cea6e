// SPDX-License-Identifier: MIT
#include "order.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <stdexcept>

namespace simt::check {

int Lines::id(const Place& place) {
  const auto [found, is_new] = by_place_.try_emplace({place.file_name(), place.line()}, 0);
  if (!is_new) return found->second;
  // A header has its name at another address in each file that includes it.
  const std::string name = std::filesystem::path(place.file_name()).filename().string() + ":" +
                           std::to_string(place.line());
  const auto [named, first] = by_name_.try_emplace(name, count());
  if (first) names_.push_back(name);
  return found->second = named->second;
}

void Order::begin_launch() {
  if (now_ > std::numeric_limits<Stamp>::max() / 2) throw std::runtime_error("too many events");
  launch_ = ++now_;
  blocks_.clear();
  releasing_.clear();
  acquired_.clear();
  launch_lines_.clear();
}

void Order::begin_block() {
  blocks_.emplace_back().start = ++now_;
  acquired_.clear();
  block_barrier_ = {now_, now_, none};
  std::fill(std::begin(warp_barriers_), std::end(warp_barriers_), block_barrier_);
}

bool Order::add(std::vector<bool>& lines, int line) {
  const auto index = static_cast<std::size_t>(line);
  if (index >= lines.size()) lines.resize(index + 1);
  const bool is_new = !lines[index];
  lines[index] = true;
  return is_new;
}

void Order::happen(Last& last, Stamp stamp, int line) {
  if (line != last.line) last.other = last.stamp;
  last.stamp = stamp;
  last.line = line;
}

void Order::record(Event::Kind kind, int thread, int line, const void* address) {
  blocks_.back().events.push_back({kind, ++now_, thread, line, address});
  add(seen_, line);
  if (std::find(launch_lines_.begin(), launch_lines_.end(), line) == launch_lines_.end())
    launch_lines_.push_back(line);
}

void Order::barrier(int line) {
  record(Event::barrier, none, line, nullptr);
  happen(block_barrier_, now_, line);
}

void Order::warp_barrier(int warp, int line) {
  happen(warp_barriers_[warp], ++now_, line);
  add(seen_, line);
}

void Order::fence(int thread, int line) { record(Event::fence, thread, line, nullptr); }

void Order::atomic(int thread, const void* address) {
  blocks_.back().events.push_back({Event::atomic, ++now_, thread, none, address});
}

bool Order::ordered(const Moment& earlier, const Moment& later) {
  return in_block(earlier.stamp) ? ordered_within(earlier, later) : ordered_between(earlier, later);
}

bool Order::ordered_within(const Moment& earlier, const Moment& later) {
  const bool by_block = earlier.stamp < block_barrier_.stamp;
  const bool one_warp = earlier.thread / warp_lanes == later.thread / warp_lanes;
  const Last& warp = warp_barriers_[later.thread / warp_lanes];
  const bool by_warp = one_warp && earlier.stamp < warp.stamp;
  if (by_block != by_warp) {
    const Last& only = by_block ? block_barrier_ : warp;
    if (earlier.stamp >= only.other) add(needed_, only.line);
  }
  return by_block || by_warp;
}

bool Order::ordered_between(const Moment& earlier, const Moment& later) {
  const auto after =
      std::upper_bound(blocks_.begin(), blocks_.end(), earlier.stamp,
                       [](Stamp stamp, const Block& block) { return stamp < block.start; });
  const Block& from = *std::prev(after);
  if (!released_and_acquired(from, earlier, later, none)) return false;
  for (const int line : launch_lines_)
    if (!needed(line) && !released_and_acquired(from, earlier, later, line)) add(needed_, line);
  return true;
}

bool Order::between(const std::vector<Event>& events, Event::Kind kind, int thread, Stamp after,
                    Stamp before, int without) {
  return std::any_of(events.begin(), events.end(), [&](const Event& e) {
    return e.kind == kind && e.line != without && (thread == none || e.thread == thread) &&
           e.stamp > after && e.stamp < before;
  });
}

bool Order::releases(const Block& from, const Moment& earlier, const Event& atomic, int without) {
  // A counter needs no fence against itself.
  if (earlier.is_atomic && earlier.address == atomic.address) return true;
  for (const Event& fence : from.events) {
    if (fence.kind != Event::fence || fence.line == without) continue;
    if (fence.stamp <= earlier.stamp || fence.stamp > atomic.stamp) continue;
    const bool own = fence.thread == earlier.thread;
    // Seen by the thread that fences: its own, or before a barrier.
    if (!own && !between(from.events, Event::barrier, none, earlier.stamp, fence.stamp, without))
      continue;
    // Before the atomic: of the same thread, or with a barrier between.
    if (fence.thread == atomic.thread ||
        between(from.events, Event::barrier, none, fence.stamp, atomic.stamp, without))
      return true;
  }
  return false;
}

bool Order::acquires(const Event& atomic, const Moment& later, int without) const {
  const std::vector<Event>& events = blocks_.back().events;
  const auto past = now_ + 1;
  const bool same_counter = later.address == atomic.address;
  if (same_counter && (later.thread == atomic.thread ||
                       between(events, Event::barrier, none, atomic.stamp, past, without)))
    return true;
  for (const Event& fence : events) {
    if (fence.kind != Event::fence || fence.line == without || fence.stamp < atomic.stamp) continue;
    if (fence.thread != atomic.thread &&
        !between(events, Event::barrier, none, atomic.stamp, fence.stamp, without))
      continue;
    if (fence.thread == later.thread ||
        between(events, Event::barrier, none, fence.stamp, past, without))
      return true;
  }
  return false;
}

const std::vector<std::size_t>& Order::releasing(const Block& from, const Moment& earlier,
                                                 int without) {
  // Atomics count from their own stamp on, other accesses from the next event.
  const auto after = std::find_if(from.events.begin(), from.events.end(), [&](const Event& e) {
    return earlier.is_atomic ? e.stamp >= earlier.stamp : e.stamp > earlier.stamp;
  });
  const std::ptrdiff_t before = after - from.events.begin();
  const auto [found, is_new] = releasing_.try_emplace(
      {from.start, before, earlier.thread, without, earlier.is_atomic ? earlier.address : nullptr});
  if (!is_new) return found->second;
  for (auto e = after; e != from.events.end(); ++e)
    if (e->kind == Event::atomic && releases(from, earlier, *e, without))
      found->second.push_back(static_cast<std::size_t>(e - from.events.begin()));
  return found->second;
}

bool Order::acquired(const void* address, const Moment& later, int without) {
  const std::vector<Event>& events = blocks_.back().events;
  const auto [found, is_new] = acquired_.try_emplace(
      {events.size(), address, later.thread, without, later.address == address}, false);
  if (is_new)
    found->second = std::any_of(events.begin(), events.end(), [&](const Event& e) {
      return e.kind == Event::atomic && e.address == address && acquires(e, later, without);
    });
  return found->second;
}

bool Order::released_and_acquired(const Block& from, const Moment& earlier, const Moment& later,
                                  int without) {
  const std::vector<std::size_t>& places = releasing(from, earlier, without);
  return std::any_of(places.begin(), places.end(), [&](std::size_t place) {
    return acquired(from.events[place].address, later, without);
  });
}

}  // namespace simt::check
