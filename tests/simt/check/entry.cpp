// SPDX-License-Identifier: MIT
// Stands in for the library of -fsanitize=thread: what instrumented code calls at each access.
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>

#include "meter.h"
#include "order.h"
#include "shadow.h"
#include "watch.h"

namespace simt::check {
namespace {

// Never destroyed: static tensors give their memory back late.
struct State {
  Shadow shadow;
  Order order;
  Lines lines;
};
State& state() {
  static State& shared = *new State;
  return shared;
}

/// Leaves the lines of barriers and fences that ran, and which of them were needed, in a file of
/// its own in the folder that DRNAS_SIMT_LINES names; check_lines.py puts the files together.
void write_lines() {
  const char* const folder = std::getenv("DRNAS_SIMT_LINES");
  if (folder == nullptr) return;
  std::filesystem::create_directories(folder);
  std::ofstream file(std::filesystem::path(folder) / (std::to_string(::getpid()) + ".txt"));
  for (int line = 0; line < state().lines.count(); ++line)
    if (state().order.seen(line))
      file << state().lines.name(line) << (state().order.needed(line) ? " needed" : "") << '\n';
}
[[maybe_unused]] const int at_exit = std::atexit(write_lines);

/// Off for tests that run whole searches, whose kernels have tests of their own.
bool enabled = [] {
  const char* const setting = std::getenv("DRNAS_SIMT_CHECK");
  return setting == nullptr || std::string_view(setting) != "off";
}();
bool active = false;
int thread = 0;

/// What the checker itself calls may be instrumented code too: the linker keeps one of equal
/// functions.
class Pause {
 public:
  Pause() : was_(active) { active = false; }
  ~Pause() { active = was_; }
  Pause(const Pause&) = delete;
  Pause& operator=(const Pause&) = delete;

 private:
  bool was_;
};

void seen(const Access& access) {
  const Pause pause;
  State& s = state();
  const Space space = s.shadow.space_of(access.address);
  s.shadow.access(access, thread, space, s.order);
  if (space != Space::other) meter().access(access, thread, space);
}

Access access_of(const void* address, std::size_t bytes, bool write, const void* site) {
  return {static_cast<const std::byte*>(address), static_cast<std::uint32_t>(bytes), write, false,
          site};
}

/// Of bytes that the compiler takes to be aligned.
void aligned(const void* address, std::size_t bytes, bool write, const void* site) {
  if (!active) return;
  const Access access = access_of(address, bytes, write, site);
  if (reinterpret_cast<std::uintptr_t>(address) % bytes != 0) {
    const Pause pause;
    state().shadow.misaligned(access, thread);
  }
  seen(access);
}

void unaligned(const void* address, std::size_t bytes, bool write, const void* site) {
  if (active) seen(access_of(address, bytes, write, site));
}

}  // namespace

void begin_launch(const Launch& launch) {
  if (!enabled) return;
  state().order.begin_launch();
  state().shadow.begin_launch(launch);
  meter().begin_launch(launch);
}
void end_launch() { meter().end_launch(); }
void begin_block(std::int64_t block, const void* shared, std::size_t shared_bytes) {
  if (!enabled) return;
  state().order.begin_block();
  state().shadow.begin_block(block, shared, shared_bytes);
  meter().begin_block(shared);
}
bool set_enabled(bool on) {
  finish_work();
  return std::exchange(enabled, on);
}
void end_block() { meter().end_requests(); }
void pause() { active = false; }
void forget_findings() { state().shadow.forget_findings(); }
void run_thread(int t) {
  thread = t;
  active = enabled;
}
void barrier(const Place& place) {
  if (!enabled) return;
  state().order.barrier(state().lines.id(place));
  meter().end_requests();
}
void warp_barrier(int warp, const Place& place) {
  if (!enabled) return;
  state().order.warp_barrier(warp, state().lines.id(place));
}
void fence(const Place& place) {
  if (!enabled) return;
  const Pause pause;
  state().order.fence(thread, state().lines.id(place));
}
void atomic(const void* address, std::size_t bytes) {
  if (!enabled) return;
  const Pause pause;
  state().order.atomic(thread, address);
  Access access = access_of(address, bytes, true, __builtin_return_address(0));
  access.is_atomic = true;
  seen(access);
}
void packed(const void* address, std::size_t bytes, bool write, const void* site) {
  aligned(address, bytes, write, site);
}

void arrived(const void* address, std::size_t bytes, const void* site) {
  if (!active) return;
  const Pause pause;
  State& s = state();
  const Access access = access_of(address, bytes, true, site);
  s.shadow.access(access, thread, s.shadow.space_of(access.address), s.order);
}

void vendor_call(const char* name, std::int64_t bytes_read, std::int64_t bytes_written,
                 std::int64_t multiply_adds) {
  meter().vendor_call(name, bytes_read, bytes_written, multiply_adds);
}

void allocated(const void* address, std::size_t bytes, bool has_value) {
  state().shadow.allocated(address, bytes, has_value);
}
void freed(const void* address, std::size_t bytes) { state().shadow.freed(address, bytes); }
void written(const void* address, std::size_t bytes) { state().shadow.written(address, bytes); }
void poisoned(const void* address, std::size_t bytes) { state().shadow.poisoned(address, bytes); }
void written_to_end(const void* address) { state().shadow.written_to_end(address); }

}  // namespace simt::check

#define DRNAS_SITE __builtin_return_address(0)
#define DRNAS_ENTRIES(N)                                                                     \
  extern "C" void __tsan_read##N(void* a) { simt::check::aligned(a, N, false, DRNAS_SITE); } \
  extern "C" void __tsan_write##N(void* a) { simt::check::aligned(a, N, true, DRNAS_SITE); } \
  extern "C" void __tsan_unaligned_read##N(void* a) {                                        \
    simt::check::unaligned(a, N, false, DRNAS_SITE);                                         \
  }                                                                                          \
  extern "C" void __tsan_unaligned_write##N(void* a) {                                       \
    simt::check::unaligned(a, N, true, DRNAS_SITE);                                          \
  }
DRNAS_ENTRIES(1)
DRNAS_ENTRIES(2)
DRNAS_ENTRIES(4)
DRNAS_ENTRIES(8)
DRNAS_ENTRIES(16)
extern "C" void __tsan_read_range(void* a, std::size_t bytes) {
  simt::check::unaligned(a, bytes, false, DRNAS_SITE);
}
extern "C" void __tsan_write_range(void* a, std::size_t bytes) {
  simt::check::unaligned(a, bytes, true, DRNAS_SITE);
}
extern "C" void __tsan_vptr_update(void*, void*) {}
extern "C" void __tsan_init() {}
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit(void*) {}
/// Of the guard of a static variable, in host code.
extern "C" char __tsan_atomic8_load(const volatile char* a, int) {
  return __atomic_load_n(a, __ATOMIC_ACQUIRE);
}
