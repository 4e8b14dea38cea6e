// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <vector>

#include "engine/memory/allocator.h"
#include "tests/support/random.h"

using drnas::Allocator;
using drnas::Device;
using drnas::MemoryTag;

namespace {

constexpr std::size_t mebibyte = std::size_t{1} << 20;

}  // namespace

TEST_CASE("allocator: captured memory is apart and stays while there are captured steps") {
  Allocator pool(Device::cpu);
  pool.set_checks(false);
  pool.count_captured(1);
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
  pool.count_captured(1);
  pool.count_captured(-1);
  CHECK(pool.counters().reserved == std::int64_t{4 * mebibyte});
  // With the last step it goes back, but for what is in use.
  pool.count_captured(-1);
  CHECK(pool.counters().reserved == std::int64_t{4 * mebibyte});
  pool.free(captured);
  pool.trim();
  CHECK(pool.counters().reserved == 0);
}

TEST_CASE("allocator: fenced memory of captured steps goes back with the last of them") {
  Allocator pool(Device::cpu);
  pool.set_checks(false);
  pool.set_fenced(true);
  pool.set_captured(true);
  pool.count_captured(1);
  std::vector<void*> blocks;
  for (int i = 0; i < 3; ++i) blocks.push_back(pool.allocate(1000, MemoryTag::activations));
  for (void* block : blocks) pool.free(block);
  CHECK(pool.counters().native_allocations == 3);
  pool.free(pool.allocate(1000, MemoryTag::activations));
  CHECK(pool.counters().native_allocations == 3);
  pool.count_captured(-1);
  CHECK(pool.counters().reserved == 0);
  pool.free(pool.allocate(1000, MemoryTag::activations));
  CHECK(pool.counters().native_allocations == 4);
}

TEST_CASE("allocator: arenas of the planned sizes are all that the planned requests take") {
  Allocator plan(Device::cuda, Allocator::Memory::imaginary);
  Allocator pool(Device::cpu);
  pool.set_checks(false);
  auto rng = drnas::test::generator(71);
  std::vector<std::pair<bool, std::size_t>> requests;
  for (int i = 0; i < 400; ++i) requests.emplace_back(rng() % 2, 1 + rng() % mebibyte);
  // Everything is freed in an irregular order, some of it early.
  const auto run = [&](Allocator& where) {
    drnas::test::Rng order(5);
    std::vector<void*> live;
    for (const auto& [captured, bytes] : requests) {
      where.set_captured(captured);
      live.push_back(where.allocate(bytes, MemoryTag::activations));
      if (order() % 3 == 0) continue;
      std::swap(live[order() % live.size()], live.back());
      where.free(live.back());
      live.pop_back();
    }
    for (void* pointer : live) where.free(pointer);
    where.set_captured(false);
  };
  run(plan);
  const drnas::MemoryExtents extents = plan.counters().extents;
  REQUIRE(extents.ordinary > std::int64_t{8 * mebibyte});
  REQUIRE(extents.captured > std::int64_t{8 * mebibyte});
  pool.prepare(extents);
  const std::int64_t reserved = pool.counters().reserved;
  CHECK(reserved >= extents.ordinary + extents.captured);
  CHECK(reserved < extents.ordinary + extents.captured + std::int64_t{4 * mebibyte});
  pool.count_captured(1);
  run(pool);
  CHECK(pool.counters().native_allocations == 2);
  CHECK(pool.counters().peak == plan.counters().peak);
  // More than was planned is reserved besides.
  pool.free(pool.allocate(static_cast<std::size_t>(2 * reserved), MemoryTag::data));
  CHECK(pool.counters().native_allocations == 3);
  pool.count_captured(-1);
  pool.trim();
  CHECK(pool.counters().reserved == 0);
  pool.prepare({});
  CHECK(pool.counters().native_allocations == 3);
}
