// SPDX-License-Identifier: MIT
// What orders two accesses of one launch by CUDA's rules. Within a block: a barrier between them,
// or within a warp a warp barrier. Between blocks: a release and an acquire by atomics on one
// address (PTX ISA, memory consistency model: causality order; fences are cumulative over
// barriers). Nothing else does: that the executor runs blocks and threads in turn is not counted.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "watch.h"

namespace simt::check {

/// Counts block starts, barriers, fences and atomics; an access has the count of its time.
using Stamp = std::uint32_t;

/// A line of a kernel's source that orders something: "node_mix_backward.cu:260".
class Lines {
 public:
  /// Equal for calls from one line.
  int id(const Place& place);
  const std::string& name(int line) const { return names_[static_cast<std::size_t>(line)]; }
  int count() const { return static_cast<int>(names_.size()); }

 private:
  std::map<std::pair<const char*, unsigned>, int> by_place_;
  std::map<std::string, int> by_name_;
  std::vector<std::string> names_;
};

/// An access, or the atomic that stands for one.
struct Moment {
  Stamp stamp;
  int thread;
  bool is_atomic = false;
  const void* address = nullptr;  ///< of the later one
};

/// The events of a launch and what follows from them. A line is needed where two accesses that may
/// not race are ordered by it and by nothing else.
class Order {
 public:
  void begin_launch();
  void begin_block();
  void barrier(int line);
  void warp_barrier(int warp, int line);
  void fence(int thread, int line);
  void atomic(int thread, const void* address);

  Stamp now() const { return now_; }
  bool in_launch(Stamp stamp) const { return stamp >= launch_; }
  bool in_block(Stamp stamp) const { return stamp >= blocks_.back().start; }
  /// Has the block met at a barrier, or the warp of both threads?
  bool barrier_since(Stamp stamp, int earlier, int later) const {
    return stamp < block_barrier_.stamp || (earlier / warp_lanes == later / warp_lanes &&
                                            stamp < warp_barriers_[later / warp_lanes].stamp);
  }
  /// Of two accesses to a byte by different threads, the earlier in this block or another of this
  /// launch.
  bool ordered(const Moment& earlier, const Moment& later);

  /// Lines that have stood in a launch so far, and those of them that were needed.
  bool seen(int line) const { return has(seen_, line); }
  bool needed(int line) const { return has(needed_, line); }

 private:
  static constexpr int warps = 32, warp_lanes = 32;
  static constexpr int none = -1;
  struct Event {
    enum Kind { barrier, fence, atomic } kind;
    Stamp stamp;
    int thread, line;
    const void* address;
  };
  struct Block {
    Stamp start = 0;
    std::vector<Event> events;
  };
  /// The last of its kind, and the last one on another line than that.
  struct Last {
    Stamp stamp = 0, other = 0;
    int line = none;
  };
  static bool has(const std::vector<bool>& lines, int line) {
    const auto index = static_cast<std::size_t>(line);
    return index < lines.size() && lines[index];
  }
  /// True where it was not among them.
  static bool add(std::vector<bool>& lines, int line);
  static void happen(Last& last, Stamp stamp, int line);

  void record(Event::Kind kind, int thread, int line, const void* address);
  bool ordered_within(const Moment& earlier, const Moment& later);
  bool ordered_between(const Moment& earlier, const Moment& later);
  /// The same as if nothing stood on line `without`.
  bool released_and_acquired(const Block& from, const Moment& earlier, const Moment& later,
                             int without);
  bool acquired(const void* address, const Moment& later, int without);
  /// Is what `earlier` did visible to who sees the atomic?
  static bool releases(const Block& from, const Moment& earlier, const Event& atomic, int without);
  bool acquires(const Event& atomic, const Moment& later, int without) const;
  /// The atomics of a block, as places among its events, that release what `earlier` did.
  const std::vector<std::size_t>& releasing(const Block& from, const Moment& earlier, int without);
  static bool between(const std::vector<Event>& events, Event::Kind kind, int thread, Stamp after,
                      Stamp before, int without);

  Stamp now_ = 1, launch_ = 1;
  Last block_barrier_;
  Last warp_barriers_[warps];
  std::vector<Block> blocks_;
  // Of this launch, since each is asked for many times: by block, events before the access, its
  // thread, and line; by the block's events so far, address, thread and line.
  std::map<std::tuple<Stamp, std::ptrdiff_t, int, int, const void*>, std::vector<std::size_t>>
      releasing_;
  std::map<std::tuple<std::size_t, const void*, int, int, bool>, bool> acquired_;
  std::vector<int> launch_lines_;
  std::vector<bool> seen_, needed_;  // by line
};

}  // namespace simt::check
