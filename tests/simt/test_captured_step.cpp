// SPDX-License-Identifier: MIT
#include "engine/captured_step.h"

#include <cuda_runtime.h>
#include <doctest/doctest.h>

#include <vector>

#include "engine/stream.h"
#include "fenced_pool.h"

using namespace drnas;

namespace {

constexpr std::int64_t mebibyte = std::int64_t{1} << 20;

Tensor piece(std::int64_t mebibytes) {
  return Tensor({1, 1, 1, mebibytes * mebibyte / 4}, MemoryTag::activations, Device::cuda);
}

}  // namespace

TEST_CASE("captured step: memory may grow while a step is recorded") {
  const simt::PoolAsOnGpu pool;
  // With everything free, best fit places the second run's pieces otherwise than the first run's.
  const auto work = [] {
    piece(100);
    std::vector<Tensor> kept;
    for (const std::int64_t size : {5, 96, 5, 90}) kept.push_back(piece(size));
    for (const Tensor& tensor : kept) tensor.clear();
  };
  const auto allocations = [] { return Allocator::of(Device::cuda).counters().native_allocations; };
  CapturedStep step(Device::cuda);
  step.run(work);
  CHECK(step.nodes() == 0);
  const std::int64_t first = allocations();
  step.run(work);
  CHECK(step.nodes() == 4);
  CHECK(allocations() > first);  // else this test proves nothing
  const std::int64_t recorded = allocations();
  step.run(work);
  CHECK(allocations() == recorded);
}

TEST_CASE("captured step: a first run that fails is no warm-up, a record that fails leaves none") {
  CapturedStep step(Device::cuda);
  const Tensor value = Tensor::zeros({1, 1, 1, 4}, MemoryTag::data, Device::cuda);
  bool fails = true;
  const auto work = [&] {
    value.clear();
    if (fails) throw Error("no");
  };
  CHECK_THROWS_AS(step.run(work), Error);
  fails = false;
  step.run(work);
  CHECK(step.nodes() == 0);
  fails = true;
  CHECK_THROWS_AS(step.run(work), Error);
  fails = false;
  step.run(work);
  CHECK(step.nodes() == 1);
}

TEST_CASE("captured step: waiting and allocating outside the pool are errors while recording") {
  CapturedStep step(Device::cuda);
  step.run([] {});
  step.run([] {
    void* pointer = nullptr;
    CHECK(cudaMalloc(&pointer, 16) != cudaSuccess);
    CHECK(cudaDeviceSynchronize() != cudaSuccess);
    CHECK_THROWS_AS(synchronize(Device::cuda), Error);
  });
}
