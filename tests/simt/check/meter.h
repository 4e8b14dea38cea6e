// SPDX-License-Identifier: MIT
// Counts what kernels ask of memory, as a GPU's hardware would see it: the lanes of a warp at one
// instruction are one request. Global memory moves in sectors of 32 bytes; shared memory has 32
// banks of 4 bytes, each of which serves one word a wavefront.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "shadow.h"
#include "watch.h"

namespace simt::check {

/// Of one direction. `least`: the sectors or wavefronts that the bytes would need if they lay best.
struct Traffic {
  std::int64_t requests = 0, moved = 0, least = 0;
  std::int64_t bytes = 0;  ///< different ones of each request
  /// Most moved by a request that needs one; of shared memory the ways of its worst conflict.
  std::int64_t worst = 0;

  double efficiency() const {
    return moved == 0 ? 1.0 : static_cast<double>(least) / static_cast<double>(moved);
  }
  /// Of sectors: a value that all lanes read uses 4 of its 32 bytes.
  double used() const {
    return moved == 0 ? 1.0 : static_cast<double>(bytes) / static_cast<double>(32 * moved);
  }
  void add(const Traffic& other);
};

/// All launches of a kernel, whatever its template arguments, or all calls of a vendor's function.
struct KernelCount {
  std::int64_t launches = 0, blocks = 0;
  std::int64_t working = 0;  ///< blocks that wrote anything: not those that read a weight and left
  std::int64_t threads = 0;
  Traffic read, write;                ///< global memory, in sectors
  Traffic shared_read, shared_write;  ///< in wavefronts
  /// Different bytes that each launch reads and writes, which no cache can save.
  std::int64_t bytes_read = 0, bytes_written = 0;
  std::int64_t multiply_adds = 0;  ///< of vendors' calls, whose requests are not known

  void add(const KernelCount& other);
};
using KernelCounts = std::map<std::string, KernelCount>;

class Meter {
 public:
  Meter();
  /// From here on launches are counted, until stop() gives the counts by kernel.
  void start();
  KernelCounts stop();

  void begin_launch(const Launch& launch);
  void end_launch();
  void vendor_call(const char* name, std::int64_t bytes_read, std::int64_t bytes_written,
                   std::int64_t multiply_adds);
  void begin_block(const void* shared);
  void access(const Access& access, int thread, Space space);
  /// Nothing joins the requests so far: the block is at a barrier or at its end.
  void end_requests();

 private:
  static constexpr int lanes = 32, sector_bytes = 32;
  struct Entry {
    const std::byte* address;
    std::uint32_t site;
    std::uint16_t bytes;
    bool write;
    Space space;
  };
  /// Bytes of a sector that the launch has read and written.
  struct Sector {
    std::uint32_t launch = 0, read = 0, written = 0;
  };
  using Request = std::vector<Entry>;

  void note_bytes(const Access& access);
  void end_warp(std::size_t first, std::size_t last);
  void count(const Request& request);
  void count_global(const Request& request, Traffic& traffic);
  void count_shared(const Request& request, Traffic& traffic);

  bool on_ = false, wrote_ = false;  // wrote_: the block
  std::uint32_t launch_ = 0;
  const std::byte* shared_ = nullptr;
  Sector* sectors_;
  std::vector<std::vector<Entry>> logs_;  // of the block's threads
  Request request_;
  std::vector<const std::byte*> touched_;
  KernelCount* current_ = nullptr;
  std::map<const void*, KernelCount> counts_;  // by the kernel's address
  KernelCounts vendors_;
};

Meter& meter();

}  // namespace simt::check
