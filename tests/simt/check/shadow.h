// SPDX-License-Identifier: MIT
// What is known of every byte that kernels may touch: device memory, pinned memory and the block's
// shared memory. Finds races, accesses outside arrays and to the host's memory, reads of memory
// never written, and accesses that are not aligned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <tuple>

#include "../executor.h"
#include "order.h"
#include "watch.h"

namespace simt::check {

struct Access {
  const std::byte* address;
  std::uint32_t bytes;
  bool write;
  bool is_atomic;
  const void* site;  ///< the instruction after it
};

enum class Space { device, shared, other };

/// The last write to two neighbouring bytes and the last read.
struct Cell {
  Stamp written = 0, read = 0;
  std::uint32_t write_site = 0, read_site = 0;
  std::uint16_t writer = 0, reader = 0;
};

class Shadow {
 public:
  Shadow();
  void allocated(const void* address, std::size_t bytes, bool written);
  void freed(const void* address, std::size_t bytes);
  void written(const void* address, std::size_t bytes);
  void poisoned(const void* address, std::size_t bytes);
  void written_to_end(const void* address);

  void begin_launch(const Launch& launch);
  void begin_block(std::int64_t block, const void* shared, std::size_t shared_bytes);
  Space space_of(const std::byte* address) const;
  /// By `thread` of the block that runs.
  void access(const Access& access, int thread, Space space, Order& order);
  /// An access whose address is no multiple of its size.
  void misaligned(const Access& access, int thread);
  /// Findings are reported once for each pair of places, from one call of this to the next.
  void forget_findings() { found_.clear(); }

 private:
  enum Flag : std::uint8_t { inside = 1, has_value = 2 };
  struct Ground {
    const std::byte* begin;
    Cell* cells;
    std::uint8_t* flags;
  };
  /// Null outside of device memory and the block's shared memory.
  std::uint8_t* flags_of(const void* address) const;
  void check_flags(const Access& access, const Ground& ground, Space space);
  void check_cell(Cell& cell, const Access& access, int thread, Space space, Order& order);
  void race(const Access& access, const Cell& cell, bool with_write);
  void find(const Access& access, const char* kind, const std::string& what,
            std::uint32_t other_site = 0);
  bool is_of_host_program(const std::byte* address) const;

  Ground device_, shared_;
  std::size_t shared_bytes_ = 0;
  Launch launch_;
  std::int64_t block_ = 0;
  int thread_ = 0;
  std::set<std::tuple<const void*, std::uint32_t, std::string>> found_;
};

}  // namespace simt::check
