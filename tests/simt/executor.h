// SPDX-License-Identifier: MIT
// Runs CUDA kernels on the host: every thread of a block is a fiber that runs until it ends, waits
// at a barrier, or exchanges values with its warp; blocks run one after another. Shared memory lies
// between guard zones and starts as NaN patterns in every block. A kernel whose result depends on
// the order of threads or blocks has a race: tests run it under several orders.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace simt {

/// Runs what streams still hold: work runs when somebody waits for it. Settings and counts below
/// wait by themselves.
void finish_work();

/// 0: ascending, 1: descending, others: shuffled by this seed.
struct Order {
  std::uint32_t threads = 0, blocks = 0;
};
void set_order(Order order);

/// Faults since the last call: deadlocks, shuffles with missing lanes, writes outside shared
/// memory, reads and writes outside device memory.
std::vector<std::string> take_faults();
void report_fault(const std::string& what);

/// Looks for writes close to live device memory and pinned memory, which no page's protection sees;
/// each becomes a fault.
void check_device_memory();

/// What the stand-in of the runtime says it runs on; most bytes that cudaHostAlloc and cudaMalloc
/// give in all.
struct Card {
  int devices = 1, driver = 13000, capability_major = 9;
  std::size_t pinned_bytes = std::size_t{1} << 34, device_bytes = std::size_t{1} << 40;
};
void set_card(Card card);
/// Live bytes from cudaHostAlloc, and from cudaMalloc.
std::size_t pinned_bytes();
std::size_t device_bytes();
/// The call that comes to run as the `calls`-th from now on faults: the next call that waits, or
/// starts something after that, reports it. Once only, so that other tests can go on.
void fault_after(int calls);

/// Most bytes of shared memory of a block.
inline constexpr std::size_t max_shared_bytes = 99 * 1024;

/// Kernels, copies and fills run so far.
struct Counts {
  std::int64_t kernels = 0, threads = 0, graph_launches = 0;
};
Counts counts();

}  // namespace simt
