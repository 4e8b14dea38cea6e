// SPDX-License-Identifier: MIT
#include "executor.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>

#include "check/watch.h"
#include "cuda_runtime.h"
#include "fiber.h"
#include "guarded_memory.h"
#include "warp.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes)
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes)
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace simt {
namespace {

constexpr int warp_size = 32;
constexpr std::size_t guard_bytes = 256;
constexpr unsigned char guard_value = 0xa5, poison_value = 0xff;

enum class State { ready, at_barrier, exchanging, ended };

struct Thread {
  Fiber fiber;
  uint3 index{};
  State state = State::ended;
  check::Place waits_at;  // where it is not ready
  // Two slots in turn: a lane may give its next value while another still reads the last one.
  unsigned char given[2][max_given_bytes];
  unsigned exchanges = 0;
  bool is_barrier = false;  // exchanges nothing
};

/// Guard zone, shared memory, guard zone; the second one follows the last byte that was asked for.
struct Shared {
  alignas(128) unsigned char bytes[guard_bytes + max_shared_bytes + guard_bytes];
  std::size_t size = 0;

  unsigned char* begin() { return bytes + guard_bytes; }
  void open(std::size_t wanted) {
    ASAN_UNPOISON_MEMORY_REGION(bytes, sizeof bytes);
    size = wanted;
    std::memset(bytes, guard_value, guard_bytes);
    std::memset(begin(), poison_value, size);
    std::memset(begin() + size, guard_value, guard_bytes);
    ASAN_POISON_MEMORY_REGION(bytes, guard_bytes);
    ASAN_POISON_MEMORY_REGION(begin() + size, sizeof bytes - guard_bytes - size);
  }
  bool intact() {
    ASAN_UNPOISON_MEMORY_REGION(bytes, sizeof bytes);
    const auto whole = [](const unsigned char* from) {
      return std::all_of(from, from + guard_bytes,
                         [](unsigned char b) { return b == guard_value; });
    };
    return whole(bytes) && whole(begin() + size);
  }
};

std::vector<std::unique_ptr<Thread>> threads;  // of a block, kept from block to block
int running = -1;
int block_threads = 0;
Shared shared;
const std::function<void()>* body = nullptr;
Order order;
std::vector<std::string> faults;
Counts totals;

std::vector<int> permutation(int count, std::uint32_t kind) {
  std::vector<int> items(count);
  std::iota(items.begin(), items.end(), 0);
  if (kind == 1) std::reverse(items.begin(), items.end());
  if (kind > 1) std::shuffle(items.begin(), items.end(), std::mt19937(kind));
  return items;
}

void thread_main() {
  for (;;) {
    (*body)();
    threads[running]->state = State::ended;
    Fiber::suspend(true);
  }
}

void wait_as(State state, const check::Place& place) {
  Thread& self = *threads[running];
  self.state = state;
  self.waits_at = place;
  Fiber::suspend(false);
}

void prepare_threads(const dim3& size) {
  block_threads = static_cast<int>(size.x * size.y * size.z);
  while (static_cast<int>(threads.size()) < block_threads)
    threads.push_back(std::make_unique<Thread>());
  for (int t = 0; t < block_threads; ++t) {
    Thread& thread = *threads[t];
    const unsigned u = static_cast<unsigned>(t);
    thread.index = {u % size.x, u / size.x % size.y, u / size.x / size.y};
    thread.state = State::ready;
    thread.exchanges = 0;
    thread.fiber.start(thread_main);
  }
}

bool all_of_state(int first, int last, State state) {
  for (int t = first; t < last; ++t)
    if (threads[t]->state != state) return false;
  return true;
}

void make_ready(int first, int last, State from) {
  for (int t = first; t < last; ++t)
    if (threads[t]->state == from) threads[t]->state = State::ready;
}

/// Are the lanes, which all wait for each other, at a barrier?
const check::Place* warp_barrier_place(int first, int last) {
  int at_barrier = 0;
  for (int t = first; t < last; ++t) at_barrier += threads[t]->is_barrier;
  if (at_barrier > 0 && at_barrier < last - first)
    report_fault("lanes of a warp wait at a barrier, others exchange values");
  return at_barrier > 0 ? &threads[first]->waits_at : nullptr;
}

/// Lets warps go on whose lanes have all given a value. False: a lane is missing.
bool finish_exchanges(bool& any) {
  for (int first = 0; first < block_threads; first += warp_size) {
    const int last = std::min(first + warp_size, block_threads);
    if (all_of_state(first, last, State::exchanging)) {
      if (const check::Place* place = warp_barrier_place(first, last))
        check::warp_barrier(first / warp_size, *place);
      make_ready(first, last, State::exchanging);
      any = true;
    }
  }
  return any;
}

/// A barrier counts the threads that have not ended, which have to wait at one place.
void pass_barrier() {
  const check::Place* place = nullptr;
  for (int t = 0; t < block_threads; ++t) {
    if (threads[t]->state != State::at_barrier) continue;
    const check::Place& here = threads[t]->waits_at;
    if (place == nullptr) place = &here;
    if (place->line() == here.line()) continue;
    report_fault("block (" + std::to_string(blockIdx.x) + ", " + std::to_string(blockIdx.y) +
                 ") waits at different barriers, on line " + std::to_string(place->line()) +
                 " and on line " + std::to_string(here.line()));
    break;
  }
  check::barrier(*place);
  make_ready(0, block_threads, State::at_barrier);
}

void describe_deadlock() {
  int waiting = 0, exchanging = 0, ended = 0;
  for (int t = 0; t < block_threads; ++t) {
    waiting += threads[t]->state == State::at_barrier;
    exchanging += threads[t]->state == State::exchanging;
    ended += threads[t]->state == State::ended;
  }
  report_fault("block (" + std::to_string(blockIdx.x) + ", " + std::to_string(blockIdx.y) +
               ") cannot go on: " + std::to_string(waiting) + " threads wait at a barrier, " +
               std::to_string(exchanging) + " in a warp exchange, " + std::to_string(ended) +
               " have ended");
}

/// The threads of a block to their end.
void run_threads(const std::vector<int>& sequence) {
  for (;;) {
    bool any = false;
    for (const int t : sequence) {
      if (threads[t]->state != State::ready) continue;
      any = true;
      running = t;
      threadIdx = threads[t]->index;
      check::run_thread(t);
      threads[t]->fiber.resume();
      check::pause();
    }
    if (any) continue;
    if (finish_exchanges(any)) continue;
    if (all_of_state(0, block_threads, State::ended)) return;
    int exchanging = 0;
    for (int t = 0; t < block_threads; ++t) exchanging += threads[t]->state == State::exchanging;
    if (exchanging > 0) return describe_deadlock();
    pass_barrier();
  }
}

void run_block(const cudaLaunchConfig_t& config, unsigned block, const std::vector<int>& sequence) {
  blockIdx = {block % gridDim.x, block / gridDim.x % gridDim.y, block / gridDim.x / gridDim.y};
  prepare_threads(blockDim);
  totals.threads += block_threads;
  shared.open(config.dynamicSmemBytes);
  begin_copies(block_threads);
  check::begin_block(block, shared.begin(), config.dynamicSmemBytes);
  run_threads(sequence);
  end_copies();
  check::end_block();
  if (!shared.intact())
    report_fault("block (" + std::to_string(blockIdx.x) + ", " + std::to_string(blockIdx.y) +
                 ") wrote outside its shared memory of " + std::to_string(config.dynamicSmemBytes) +
                 " bytes");
}

}  // namespace

void set_order(Order wanted) {
  finish_work();
  order = wanted;
}

void report_fault(const std::string& what) {
  if (faults.size() < 100) faults.push_back(what);
}

std::vector<std::string> take_faults() {
  finish_work();
  check::forget_findings();
  return std::exchange(faults, {});
}

Counts counts() {
  finish_work();
  return totals;
}
void count_graph_launch() { ++totals.graph_launches; }

void* shared_memory() { return shared.begin(); }
int lane() { return running % warp_size; }
void block_barrier(const check::Place& place) { wait_as(State::at_barrier, place); }

void warp_barrier(unsigned mask, const check::Place& place) {
  if (mask != 0xffffffffu) report_fault("a warp barrier with a partial mask");
  threads[running]->is_barrier = true;
  wait_as(State::exchanging, place);
  threads[running]->is_barrier = false;
}

void load_packed(void* to, const void* from, std::size_t bytes) {
  check::packed(from, bytes, false, __builtin_return_address(0));
  std::memcpy(to, from, bytes);
}
void store_packed(void* to, const void* from, std::size_t bytes) {
  check::packed(to, bytes, true, __builtin_return_address(0));
  std::memcpy(to, from, bytes);
}

std::uint64_t atomic_add(void* where, std::uint64_t value, std::size_t bytes) {
  check::atomic(where, bytes);
  std::uint64_t before = 0;  // the host is little-endian
  std::memcpy(&before, where, bytes);
  value += before;
  std::memcpy(where, &value, bytes);
  return before;
}

Given give(const void* value, std::size_t bytes, unsigned mask) {
  Thread& self = *threads[running];
  if (mask != 0xffffffffu) report_fault("a warp exchange with a partial mask");
  const unsigned slot = self.exchanges++ % 2;
  std::memcpy(self.given[slot], value, bytes);
  wait_as(State::exchanging, {});
  return {running / warp_size * warp_size, slot};
}

const unsigned char* Given::of(int lane) const {
  if (first_ + lane < block_threads) return threads[first_ + lane]->given[slot_];
  report_fault("a warp exchange reads lane " + std::to_string(lane) + " of a partial warp");
  return nullptr;
}

void exchange(const void* value, void* result, std::size_t bytes, unsigned mask, int from) {
  if (const unsigned char* const given = give(value, bytes, mask).of(from))
    std::memcpy(result, given, bytes);
}

void run_kernel(const cudaLaunchConfig_t& config, const std::function<void()>& thread,
                check::Launch launch) {
  const AccessWatch watch;
  ++totals.kernels;
  gridDim = config.gridDim;
  blockDim = config.blockDim;
  body = &thread;
  launch.call = &thread;
  launch.call_bytes = sizeof thread;
  launch.threads = blockDim.x * blockDim.y * blockDim.z;
  launch.blocks = std::int64_t{gridDim.x} * gridDim.y * gridDim.z;
  const std::vector<int> sequence = permutation(static_cast<int>(launch.threads), order.threads);
  check::begin_launch(launch);
  for (const int b : permutation(static_cast<int>(launch.blocks), order.blocks))
    run_block(config, static_cast<unsigned>(b), sequence);
  check::end_launch();
}

}  // namespace simt
