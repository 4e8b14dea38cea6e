// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include "engine/memory/allocator.h"

using drnas::Allocator;
using drnas::Device;
using drnas::MemoryTag;

namespace {

constexpr std::size_t mebibyte = std::size_t{1} << 20;

}  // namespace

TEST_CASE("allocator: captured memory is apart and stays") {
  Allocator pool(Device::cpu);
  pool.set_checks(false);
  void* first = pool.allocate(1000, MemoryTag::data);
  CHECK(pool.set_captured(true) == false);
  void* captured = pool.allocate(1000, MemoryTag::activations);
  pool.free(captured);
  CHECK(pool.counters().native_allocations == 2);
  CHECK(pool.set_captured(false) == true);
  // Nothing else gets these addresses, not even what does not fit what is left elsewhere.
  void* large = pool.allocate(4 * mebibyte - 500, MemoryTag::data);
  CHECK(pool.counters().native_allocations == 3);
  pool.free(large);
  pool.free(first);
  pool.trim();
  CHECK(pool.counters().reserved == std::int64_t{4 * mebibyte});
  pool.set_captured(true);
  CHECK(pool.allocate(1000, MemoryTag::activations) == captured);
  CHECK(pool.counters().native_allocations == 3);
  pool.free(captured);
}
