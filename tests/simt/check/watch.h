// SPDX-License-Identifier: MIT
// What the executor tells of a kernel's run to those who watch it: the checker (shadow.h, order.h)
// and the meter (meter.h). Kernels are compiled with GCC's -fsanitize=thread and linked to
// entry.cpp instead of its library, so that every load and store of every thread is seen. Where the
// build has no checker these calls do nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <source_location>

namespace simt::check {

/// A barrier or fence in a kernel's source.
using Place = std::source_location;

struct Launch {
  const void* kernel = nullptr;
  unsigned threads = 1;
  std::int64_t blocks = 1;
  /// Where the kernel's arguments lie, and what calls it with them: on the host.
  const void* arguments = nullptr;
  std::size_t argument_bytes = 0;
  const void* call = nullptr;
  std::size_t call_bytes = 0;
};

#ifdef DRNAS_SIMT_CHECK

/// Between launches. Returns the old value.
bool set_enabled(bool on);
void begin_launch(const Launch& launch);
void end_launch();
/// Blocks run one after another, in any order.
void begin_block(std::int64_t block, const void* shared, std::size_t shared_bytes);
void end_block();
/// The thread of the block whose accesses come now.
void run_thread(int thread);
/// It has stopped, or what it calls is the executor's.
void pause();
/// All threads of the block have arrived at it.
void barrier(const Place& place);
/// All lanes of the warp have.
void warp_barrier(int warp, const Place& place);
void fence(const Place& place);
void atomic(const void* address, std::size_t bytes);
/// One access of several elements: see load_packed().
void packed(const void* address, std::size_t bytes, bool write, const void* site);
/// A write that was seen when it started is done.
void arrived(const void* address, std::size_t bytes, const void* site);
/// Findings reported so far may be reported again.
void forget_findings();

/// A call of a vendor's library, of which only the least it can do is known.
void vendor_call(const char* name, std::int64_t bytes_read, std::int64_t bytes_written,
                 std::int64_t multiply_adds);

/// New device memory, or memory that no longer is.
void allocated(const void* address, std::size_t bytes, bool written);
void freed(const void* address, std::size_t bytes);
/// The host, or a vendor's library, has written there.
void written(const void* address, std::size_t bytes);
/// What is there is no value, also in shared memory.
void poisoned(const void* address, std::size_t bytes);
/// The same as written() up to the end of the array that the address lies in.
void written_to_end(const void* address);

#else

inline bool set_enabled(bool) { return false; }
inline void begin_launch(const Launch&) {}
inline void end_launch() {}
inline void begin_block(std::int64_t, const void*, std::size_t) {}
inline void end_block() {}
inline void run_thread(int) {}
inline void pause() {}
inline void barrier(const Place&) {}
inline void warp_barrier(int, const Place&) {}
inline void fence(const Place&) {}
inline void atomic(const void*, std::size_t) {}
inline void packed(const void*, std::size_t, bool, const void*) {}
inline void arrived(const void*, std::size_t, const void*) {}
inline void forget_findings() {}
inline void vendor_call(const char*, std::int64_t, std::int64_t, std::int64_t) {}
inline void allocated(const void*, std::size_t, bool) {}
inline void freed(const void*, std::size_t) {}
inline void written(const void*, std::size_t) {}
inline void poisoned(const void*, std::size_t) {}
inline void written_to_end(const void*) {}

#endif

/// While it lives accesses are not looked at: for tests of what is launched.
class NotSeen {
 public:
  NotSeen() : was_(set_enabled(false)) {}
  ~NotSeen() { set_enabled(was_); }
  NotSeen(const NotSeen&) = delete;
  NotSeen& operator=(const NotSeen&) = delete;

 private:
  bool was_;
};

}  // namespace simt::check
