// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "kernels/core/device.h"

namespace drnas {

/// What a block of device memory is for. Every allocation carries one; counters are kept per tag.
enum class MemoryTag { weights, gradients, optimizer, activations, statistics, workspace, data };
inline constexpr int memory_tag_count = 7;
const char* to_string(MemoryTag tag);

/// Bytes of two arenas: for memory of captured steps, and for all other.
struct MemoryExtents {
  std::int64_t ordinary = 0, captured = 0;
  bool operator==(const MemoryExtents&) const = default;
};

/// Byte counts, by tag and in total. `live` and `peak` count the 256-byte rounded blocks handed out
/// (guards included).
struct MemoryCounters {
  std::array<std::int64_t, memory_tag_count> live_by_tag{};
  std::array<std::int64_t, memory_tag_count>
      by_tag_at_peak{};  ///< at the moment of the total's peak
  std::int64_t live = 0;
  std::int64_t peak = 0;
  std::int64_t reserved = 0;            ///< obtained from the system
  std::int64_t native_allocations = 0;  ///< calls to the system (or CUDA) so far
  MemoryExtents extents;                ///< of a plan on CUDA: see Allocator::prepare()
};

/// One pool of device memory: best fit over large reservations, split and coalesce, 256-byte blocks
/// (docs/design.md). Thread-safe. Blocks must be freed before the allocator dies.
class Allocator {
 public:
  /// Blocks start at multiples of this and their sizes are rounded up to it.
  static constexpr std::size_t block_bytes = 256;

  /// Imaginary memory has addresses but must never be touched (see planning.h).
  enum class Memory { real, imaginary };
  explicit Allocator(Device device, Memory memory = Memory::real);
  ~Allocator();
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  /// The pool of the process for `device`, or what stands in for it on this thread.
  static Allocator& of(Device device);
  /// Takes the place of the pool of its device on this thread; null ends that.
  static void stand_in(Allocator* pool);

  /// Memory of at least `bytes` bytes, uninitialised (poisoned with NaN patterns when checks are
  /// on). Throws Error when the budget would be exceeded or the system has no more; the message
  /// lists the largest tags.
  void* allocate(std::size_t bytes, MemoryTag tag);
  /// Returns a block; null is ignored. Throws Error naming an unknown pointer and, with checks on,
  /// the tag of a block whose guard bytes were overwritten (it is free all the same).
  void free(void* pointer);

  MemoryCounters counters() const;
  /// Starts a new peak from what is live now.
  void reset_peak();
  /// Largest number of live bytes allowed; 0 means no limit. Returns the old value.
  std::int64_t set_budget(std::int64_t bytes);
  /// Guard bytes after every block and poison in fresh and freed memory. Returns the old value. On
  /// by default in debug builds (no NDEBUG). Only blocks allocated while it is on are checked. On
  /// CUDA each check waits for the device: turn them off while a graph is captured.
  bool set_checks(bool on);
  /// While on, every block is a native allocation of its own, of just the bytes that were asked
  /// for: the guard that a checker keeps around each finds accesses outside it (compute-sanitizer
  /// on a GPU, the pages of the tests' host executor). Slow; live and peak bytes are the same.
  /// Returns the old value.
  bool set_fenced(bool on);
  /// Gives reservations without live blocks back to the system, but for those of captured steps
  /// while there are any.
  void trim();
  /// trim(), then one reservation each of the sizes that a plan found (MemoryCounters::extents),
  /// where there are none yet: the run that was planned will need no others. What the system does
  /// not have is left to later requests.
  void prepare(const MemoryExtents& planned);
  /// While on, memory comes from reservations that nothing else uses: the addresses that a captured
  /// step knows stay its own when it is replayed. Returns the old value.
  bool set_captured(bool on);
  /// One more or one fewer captured step that may be replayed. With the last one their reservations
  /// go back to the system, as far as they have no live blocks.
  void count_captured(int change);

  Device device() const { return device_; }

 private:
  struct Reservation;
  struct Block {
    std::size_t offset = 0;  // within the reservation
    std::size_t bytes = 0;   // rounded
    std::size_t wanted = 0;  // as asked for, when used
    Reservation* home = nullptr;
    MemoryTag tag = MemoryTag::workspace;
    bool used = false;
    bool guarded = false;

    std::byte* address() const;  // null without a home
  };
  struct Reservation {
    std::byte* base = nullptr;
    std::size_t bytes = 0;
    bool captured = false;
    bool arena = false;      // of prepare(): its end is taken last
    std::size_t fenced = 0;  // bytes, guards included, of the only block; 0: not fenced
    std::map<std::size_t, Block> blocks;  // by offset
  };
  struct FreeOrder {
    static std::size_t size(const Block& block);
    bool operator()(const Block* a, const Block* b) const;  // by size, then address
  };

  /// Where the guard of a guarded block ends.
  std::size_t guard_end(const Block& block) const;
  // All of these expect the mutex to be held.
  void check_budget(std::size_t bytes, MemoryTag tag) const;
  Block& take(std::size_t bytes, MemoryTag tag);
  void give(Block& block);
  Block& take_fenced(std::size_t bytes, std::size_t wanted, MemoryTag tag);
  void reserve(std::size_t bytes, MemoryTag tag);
  bool reserve_arena(std::size_t bytes, MemoryTag tag);
  /// Enters memory of the system as one block, which is not yet among the free ones.
  Block& enter(void* base, std::size_t bytes, MemoryTag tag);
  void release_unused();
  /// Takes a block off the list of free ones that it may be on.
  void forget(Block& free_block);

  /// Where reservations come from: imaginary ones are address space of the host.
  void* native_allocate(std::size_t bytes) const;
  Device native_device() const { return memory_ == Memory::imaginary ? Device::cpu : device_; }

  Device device_;
  Memory memory_;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Reservation>> reservations_;
  using FreeBlocks = std::set<Block*, FreeOrder>;
  FreeBlocks& free_blocks(const Block& block) { return free_blocks_[block.home->captured]; }

  std::array<FreeBlocks, 2> free_blocks_;  // of ordinary and of captured steps' reservations
  std::multimap<std::size_t, Block*>
      fenced_blocks_;  // free ones of captured steps, by wanted bytes
  std::map<void*, Block*> used_blocks_;
  MemoryCounters counters_;
  std::int64_t budget_ = 0;
  bool checks_ = false, captured_ = false, fenced_ = false;
  int captured_steps_ = 0;
};

/// "1.50 MiB", "17 B": for messages and tables.
std::string format_bytes(std::int64_t bytes);

}  // namespace drnas
