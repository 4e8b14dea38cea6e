// SPDX-License-Identifier: MIT
#include "engine/memory/allocator.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <thread>

#include "kernels/core/error.h"

namespace {

using drnas::Allocator;
using drnas::Device;
using drnas::MemoryCounters;
using drnas::MemoryTag;

constexpr std::size_t mebibyte = std::size_t{1} << 20;
constexpr std::size_t guard = 64;

std::int64_t rounded(std::size_t bytes, bool checks) {
  const std::size_t needed = bytes + (checks ? guard : 0);
  return static_cast<std::int64_t>(std::max<std::size_t>(1, (needed + 255) / 256) * 256);
}

MemoryTag tag_of(unsigned number) {
  return static_cast<MemoryTag>(number % drnas::memory_tag_count);
}

/// What the allocator should have counted, by adding up the live list anew each time.
struct Model {
  struct Block {
    std::byte* begin;
    std::size_t bytes;
    std::int64_t counted;
    MemoryTag tag;
    std::byte mark;
  };
  std::vector<Block> live;
  std::int64_t peak = 0;
  std::array<std::int64_t, drnas::memory_tag_count> at_peak{};

  std::array<std::int64_t, drnas::memory_tag_count> by_tag() const {
    std::array<std::int64_t, drnas::memory_tag_count> result{};
    for (const Block& block : live) result[static_cast<std::size_t>(block.tag)] += block.counted;
    return result;
  }
  std::int64_t total() const {
    const auto tags = by_tag();
    return std::accumulate(tags.begin(), tags.end(), std::int64_t{0});
  }
  void note_peak() {
    if (total() <= peak) return;
    peak = total();
    at_peak = by_tag();
  }
  bool overlaps(const std::byte* begin, std::size_t bytes) const {
    return std::any_of(live.begin(), live.end(), [&](const Block& block) {
      return begin < block.begin + block.bytes && block.begin < begin + bytes;
    });
  }
};

void check_against(const MemoryCounters& counters, const Model& model) {
  CHECK(counters.live == model.total());
  CHECK(counters.live_by_tag == model.by_tag());
  CHECK(counters.peak == model.peak);
  CHECK(counters.by_tag_at_peak == model.at_peak);
  CHECK(counters.reserved >= counters.live);
}

/// Allocates or frees at random; block contents are marked and must survive until freed.
void run_random(Allocator& pool, Model& model, std::mt19937& random, bool checks, int steps) {
  int overlaps = 0, misaligned = 0, lost = 0;
  for (int step = 0; step < steps; ++step) {
    if (model.live.empty() || random() % 100 < 52) {
      std::size_t bytes = random() % 5000;
      if (random() % 40 == 0) bytes = random() % (3 * mebibyte);
      if (random() % 400 == 0) bytes = 30 * mebibyte + random() % (10 * mebibyte);
      const MemoryTag tag = tag_of(static_cast<unsigned>(random()));
      auto* begin = static_cast<std::byte*>(pool.allocate(bytes, tag));
      const auto counted = rounded(bytes, checks);
      misaligned += reinterpret_cast<std::uintptr_t>(begin) % Allocator::block_bytes != 0;
      overlaps += model.overlaps(begin, std::max<std::size_t>(bytes, 1));
      const auto mark = static_cast<std::byte>(random());
      if (bytes > 0) begin[0] = begin[bytes / 2] = begin[bytes - 1] = mark;
      model.live.push_back({begin, bytes, counted, tag, mark});
      model.note_peak();
    } else {
      std::swap(model.live[random() % model.live.size()], model.live.back());
      const Model::Block block = model.live.back();
      for (const std::size_t at : {std::size_t{0}, block.bytes / 2, block.bytes - 1})
        lost += block.bytes > 0 && block.begin[at] != block.mark;
      model.live.pop_back();
      pool.free(block.begin);
    }
    if (step % 50 == 0) check_against(pool.counters(), model);
  }
  CHECK(overlaps == 0);
  CHECK(misaligned == 0);
  CHECK(lost == 0);
}

std::string message_of(const auto& action) {
  try {
    action();
  } catch (const drnas::Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("allocator: random sequences agree with a naive model and coalesce to nothing") {
  for (const bool checks : {false, true}) {
    Allocator pool(Device::cpu);
    pool.set_checks(checks);
    Model model;
    std::mt19937 random(checks ? 1 : 2);
    run_random(pool, model, random, checks, 3000);
    pool.reset_peak();
    model.peak = 0;
    model.note_peak();
    check_against(pool.counters(), model);
    run_random(pool, model, random, checks, 1000);
    std::shuffle(model.live.begin(), model.live.end(), random);
    for (const Model::Block& block : model.live) pool.free(block.begin);
    model.live.clear();
    check_against(pool.counters(), model);
    CHECK(pool.counters().reserved > 0);
    pool.trim();  // gives back only what is one free block
    CHECK(pool.counters().reserved == 0);
  }
}

TEST_CASE("allocator: the whole of a reservation is one block again after any order of frees") {
  std::mt19937 random(11);
  Allocator pool(Device::cpu);
  pool.set_checks(false);
  for (int round = 0; round < 20; ++round) {
    std::vector<void*> blocks;
    for (int i = 0; i < 200; ++i)
      blocks.push_back(pool.allocate(random() % 18000, MemoryTag::workspace));
    std::shuffle(blocks.begin(), blocks.end(), random);
    for (void* block : blocks) pool.free(block);
    const MemoryCounters before = pool.counters();
    REQUIRE(before.reserved == std::int64_t{4} * std::int64_t{mebibyte});
    pool.free(pool.allocate(static_cast<std::size_t>(before.reserved), MemoryTag::data));
    CHECK(pool.counters().native_allocations == 1);
  }
}

TEST_CASE("allocator: best fit takes the smallest hole, then the lowest address") {
  Allocator pool(Device::cpu);
  pool.set_checks(false);
  std::vector<void*> blocks;
  for (const std::size_t bytes : {4096, 256, 1024, 256, 2048, 256, 1024, 256})
    blocks.push_back(pool.allocate(bytes, MemoryTag::data));
  for (const std::size_t hole : {6, 0, 4, 2}) pool.free(blocks[hole]);
  CHECK(pool.allocate(900, MemoryTag::data) == blocks[2]);
  CHECK(pool.allocate(1000, MemoryTag::data) == blocks[6]);
  CHECK(pool.allocate(1000, MemoryTag::data) == blocks[4]);
  CHECK(pool.allocate(1024, MemoryTag::data) == static_cast<std::byte*>(blocks[4]) + 1024);
  CHECK(pool.allocate(4000, MemoryTag::data) == blocks[0]);
}

TEST_CASE("allocator: a repeated pattern asks the system for nothing more") {
  Allocator pool(Device::cpu);
  std::vector<std::int64_t> native;
  for (int epoch = 0; epoch < 8; ++epoch) {
    std::mt19937 random(23);
    std::vector<void*> blocks;
    for (int i = 0; i < 400; ++i) {
      blocks.push_back(pool.allocate(random() % mebibyte, MemoryTag::activations));
      if (random() % 3 == 0) {
        std::swap(blocks[random() % blocks.size()], blocks.back());
        pool.free(blocks.back());
        blocks.pop_back();
      }
      if (i == 200) {
        for (void* block : blocks) pool.free(block);
        blocks = {pool.allocate(70 * mebibyte, MemoryTag::workspace)};
      }
    }
    for (void* block : blocks) pool.free(block);
    native.push_back(pool.counters().native_allocations);
  }
  CHECK(native[3] == native[7]);
  const MemoryCounters counters = pool.counters();
  CHECK(counters.reserved <= 2 * counters.peak);
}

TEST_CASE("allocator: reservations are sized by the request") {
  Allocator pool(Device::cpu);
  pool.set_checks(false);
  void* small = pool.allocate(1, MemoryTag::weights);
  CHECK(pool.counters().live == 256);
  CHECK(pool.counters().reserved == std::int64_t{4 * mebibyte});
  void* large = pool.allocate(41 * mebibyte, MemoryTag::weights);
  CHECK(pool.counters().reserved == std::int64_t{(4 + 42) * mebibyte});
  pool.free(large);
  pool.trim();
  CHECK(pool.counters().reserved == std::int64_t{4 * mebibyte});
  pool.free(small);
  CHECK(pool.counters().native_allocations == 2);
  // A pool that must grow gives back first what it has and does not use.
  large = pool.allocate(50 * mebibyte, MemoryTag::weights);
  CHECK(pool.counters().reserved == std::int64_t{50 * mebibyte});
  pool.free(large);
}

TEST_CASE("allocator: the peak knows its tags") {
  Allocator pool(Device::cpu);
  pool.set_checks(false);
  const auto tag = [](MemoryTag t) { return static_cast<std::size_t>(t); };
  void* weights = pool.allocate(1000, MemoryTag::weights);
  void* first = pool.allocate(5000, MemoryTag::activations);
  pool.free(first);
  void* second = pool.allocate(3000, MemoryTag::gradients);
  MemoryCounters counters = pool.counters();
  CHECK(counters.peak == 1024 + 5120);
  CHECK(counters.by_tag_at_peak[tag(MemoryTag::weights)] == 1024);
  CHECK(counters.by_tag_at_peak[tag(MemoryTag::activations)] == 5120);
  CHECK(counters.by_tag_at_peak[tag(MemoryTag::gradients)] == 0);
  pool.reset_peak();
  counters = pool.counters();
  CHECK(counters.peak == 1024 + 3072);
  CHECK(counters.by_tag_at_peak[tag(MemoryTag::activations)] == 0);
  CHECK(counters.by_tag_at_peak[tag(MemoryTag::gradients)] == 3072);
  pool.free(weights);
  pool.free(second);
  CHECK(pool.counters().live == 0);
}

TEST_CASE("allocator: the budget holds to the byte and its breach lists the largest tags") {
  Allocator pool(Device::cpu);
  pool.set_checks(false);
  CHECK(pool.set_budget(std::int64_t{10 * mebibyte}) == 0);
  CHECK(message_of([&] { pool.allocate(11 * mebibyte, MemoryTag::data); }) ==
        "memory limit of 10.00 MiB exceeded: 11.00 MiB more needed for data with 0 B live; "
        "largest: none");
  CHECK(pool.counters().native_allocations == 0);
  std::vector<void*> blocks{pool.allocate(2 * mebibyte, MemoryTag::weights),
                            pool.allocate(5 * mebibyte, MemoryTag::activations),
                            pool.allocate(1000, MemoryTag::statistics),
                            pool.allocate(mebibyte, MemoryTag::gradients)};
  CHECK(message_of([&] { pool.allocate(3 * mebibyte, MemoryTag::optimizer); }) ==
        "memory limit of 10.00 MiB exceeded: 3.00 MiB more needed for optimizer with 8.00 MiB "
        "live; largest: activations 5.00 MiB, weights 2.00 MiB, gradients 1.00 MiB");
  CHECK(pool.counters().live == std::int64_t{8 * mebibyte} + 1024);
  CHECK_THROWS_AS(pool.allocate(2 * mebibyte - 1023, MemoryTag::data), drnas::Error);
  blocks.push_back(pool.allocate(2 * mebibyte - 1024, MemoryTag::data));
  CHECK_THROWS_AS(pool.allocate(0, MemoryTag::data), drnas::Error);
  CHECK(pool.set_budget(0) == std::int64_t{10 * mebibyte});
  blocks.push_back(pool.allocate(11 * mebibyte, MemoryTag::data));
  for (void* block : blocks) pool.free(block);
}

TEST_CASE("allocator: requests that no machine can hold are refused") {
  Allocator pool(Device::cpu);
  for (const std::size_t bytes :
       {std::numeric_limits<std::size_t>::max(), std::numeric_limits<std::size_t>::max() / 4 + 1})
    CHECK_THROWS_AS(pool.allocate(bytes, MemoryTag::weights), drnas::Error);
  CHECK(message_of([&] { pool.allocate(std::size_t{1} << 50, MemoryTag::weights); }) ==
        "out of memory: 1.00 PiB more needed for weights with 0 B live; largest: none");
  CHECK(pool.counters().reserved == 0);
  pool.free(pool.allocate(100, MemoryTag::weights));
}

TEST_CASE("allocator: an unknown pointer is named") {
  Allocator pool(Device::cpu);
  auto* block = static_cast<std::byte*>(pool.allocate(1000, MemoryTag::data));
  char text[32];
  std::snprintf(text, sizeof(text), "%p", static_cast<void*>(block + 256));
  CHECK(message_of([&] { pool.free(block + 256); }) ==
        std::string("cannot free ") + text + ": expected a live block of this allocator");
  pool.free(block);
  CHECK_THROWS_AS(pool.free(block), drnas::Error);
  pool.free(nullptr);
  CHECK(pool.counters().live == 0);
}

TEST_CASE("allocator: a write after any block is reported by tag and the block is free") {
  Allocator pool(Device::cpu);
  pool.set_checks(true);
  for (const std::size_t bytes : {0, 1, 191, 192, 193, 256, 5000}) {
    for (const std::size_t behind : {std::size_t{0}, std::size_t{1}, guard - 1}) {
      auto* block = static_cast<std::byte*>(pool.allocate(bytes, MemoryTag::optimizer));
      block[bytes + behind] = std::byte{0};
      const std::string error = message_of([&] { pool.free(block); });
      CAPTURE(error);
      CHECK(error.rfind(
                "memory after a block of " + std::to_string(bytes) + " bytes for optimizer at 0x",
                0) == 0);
      CHECK(pool.counters().live == 0);
    }
    auto* block = static_cast<std::byte*>(pool.allocate(bytes, MemoryTag::optimizer));
    std::memset(block, 0, bytes);
    pool.free(block);
  }
  // Only blocks allocated while checks are on carry guards, whatever the state when they are freed.
  auto* guarded = static_cast<std::byte*>(pool.allocate(10, MemoryTag::data));
  CHECK(pool.set_checks(false));
  auto* plain = static_cast<std::byte*>(pool.allocate(10, MemoryTag::data));
  CHECK_FALSE(pool.set_checks(true));
  plain[10] = guarded[10] = std::byte{0};
  pool.free(plain);
  CHECK_THROWS_AS(pool.free(guarded), drnas::Error);
}

TEST_CASE(
    "allocator: with checks fresh and freed memory reads as NaN, without nothing is touched") {
  Allocator pool(Device::cpu);
  pool.set_checks(true);
  auto* values = static_cast<float*>(pool.allocate(100 * sizeof(float), MemoryTag::activations));
  const auto all_nan = [&] {
    return std::all_of(values, values + 100, [](float value) { return std::isnan(value); });
  };
  CHECK(all_nan());
  std::fill(values, values + 100, 1.0f);
  pool.free(values);
  CHECK(all_nan());
  pool.set_checks(false);
  CHECK(pool.allocate(100 * sizeof(float), MemoryTag::activations) == values);
  std::fill(values, values + 100, 2.0f);
  pool.free(values);
  CHECK(pool.allocate(100 * sizeof(float), MemoryTag::activations) == values);
  CHECK(std::all_of(values, values + 100, [](float value) { return value == 2.0f; }));
  pool.free(values);
}

TEST_CASE("allocator: checks are on by default in debug builds only") {
  Allocator pool(Device::cpu);
  void* block = pool.allocate(256, MemoryTag::data);
#ifdef NDEBUG
  CHECK(pool.counters().live == 256);
#else
  CHECK(pool.counters().live == 512);
#endif
  pool.free(block);
}

TEST_CASE("allocator: threads share one pool") {
  Allocator pool(Device::cpu);
  pool.set_checks(true);
  std::array<int, 4> damaged{};
  std::vector<std::thread> threads;
  for (unsigned id = 0; id < damaged.size(); ++id)
    threads.emplace_back([&pool, &lost = damaged[id], id] {
      std::mt19937 random(id);
      std::vector<std::pair<std::byte*, std::size_t>> mine;
      const auto mark = static_cast<std::byte>(id + 1);
      for (int i = 0; i < 3000; ++i) {
        if (mine.empty() || (mine.size() < 50 && random() % 2 == 0)) {
          const std::size_t bytes = 1 + random() % 3000;
          auto* block = static_cast<std::byte*>(pool.allocate(bytes, tag_of(id)));
          std::memset(block, static_cast<int>(mark), bytes);
          mine.emplace_back(block, bytes);
        } else {
          std::swap(mine[random() % mine.size()], mine.back());
          const auto [block, bytes] = mine.back();
          mine.pop_back();
          lost += !std::all_of(block, block + bytes, [&](std::byte b) { return b == mark; });
          pool.free(block);
        }
      }
      for (const auto& [block, bytes] : mine) pool.free(block);
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(damaged == std::array<int, 4>{});
  CHECK(pool.counters().live == 0);
  pool.trim();
  CHECK(pool.counters().reserved == 0);
}

TEST_CASE("allocator: one pool per device in a process") {
  CHECK(&Allocator::of(Device::cpu) == &Allocator::of(Device::cpu));
  CHECK(&Allocator::of(Device::cpu) != &Allocator::of(Device::cuda));
#ifndef DRNAS_WITH_CUDA
  CHECK_THROWS_WITH_AS(Allocator::of(Device::cuda).allocate(1, MemoryTag::data),
                       "device cuda: this build has no CUDA, expected cpu", drnas::Error);
#endif
}

TEST_CASE("allocator: tags and byte counts as text") {
  CHECK(std::string(drnas::to_string(MemoryTag::weights)) == "weights");
  CHECK(drnas::format_bytes(1023) == "1023 B");
  CHECK(drnas::format_bytes(1572864) == "1.50 MiB");
  CHECK(drnas::format_bytes((1 << 20) - 1) == "1.00 MiB");
  CHECK(drnas::format_bytes(std::numeric_limits<std::int64_t>::max()) == "8.00 EiB");
}
