// SPDX-License-Identifier: MIT
// The executor itself: does it run what a GPU would, and does it catch what it is there to catch?
#include "executor.h"

#include <cuda_runtime.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "tests/cuda/harness.h"

namespace {

using drnas::kernels::launch;
using drnas::kernels::shared_memory;
using drnas::test::DeviceArray;

__global__ void reverse_kernel(const int* in, int* out, bool wait) {
  int* tile = static_cast<int*>(shared_memory());
  tile[threadIdx.x] = in[blockIdx.x * blockDim.x + threadIdx.x];
  if (wait) __syncthreads();
  out[blockIdx.x * blockDim.x + threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}

std::vector<int> reverse(bool wait) {
  constexpr int threads = 96, blocks = 3;
  std::vector<int> values(threads * blocks);
  std::iota(values.begin(), values.end(), 0);
  const DeviceArray<int> in(values), out(values.size());
  launch("reverse", reverse_kernel, {blocks, threads, threads * sizeof(int)}, nullptr, in, out,
         wait);
  return out.read();
}

__global__ void warp_sum_kernel(const float* in, float* out) {
  float sum = in[threadIdx.x];
  for (int distance = 16; distance > 0; distance /= 2)
    sum += __shfl_xor_sync(0xffffffffu, sum, distance);
  out[threadIdx.x] = sum;
}

__global__ void shared_overrun_kernel(int words) {
  int* tile = static_cast<int*>(shared_memory());
  if (threadIdx.x == 0) tile[words] = 1;
}
__global__ void device_overrun_kernel(int* out, int at) {
  if (threadIdx.x == 0) out[at] = 1;
}
__global__ void device_read_kernel(const int* in, int at, int* out) {
  if (threadIdx.x == 0) out[0] = in[at];
}
__global__ void lost_lane_kernel(float* out) {
  if (threadIdx.x == 5) return;
  out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1.0f, 1);
}
__global__ void ended_threads_kernel(int* out) {
  if (threadIdx.x >= 40) return;
  __syncthreads();
  out[threadIdx.x] = static_cast<int>(threadIdx.x);
}
__global__ void count_kernel(unsigned* counter) { atomicAdd(counter, 1u); }

}  // namespace

TEST_CASE("simt: a block exchanges values through shared memory") {
  const std::vector<int> out = drnas::test::in_every_order([] { return reverse(true); });
  for (int i = 0; i < static_cast<int>(out.size()); ++i)
    REQUIRE(out[i] == i / 96 * 96 + 95 - i % 96);
}

TEST_CASE("simt: a missing barrier shows as results that depend on the order of threads") {
  simt::set_order({});
  const std::vector<int> ascending = reverse(false);
  simt::set_order({1, 0});
  const std::vector<int> descending = reverse(false);
  simt::set_order({});
  CHECK(ascending != descending);
  // What was not yet written is poison, not what an earlier block left there.
  CHECK(std::count(ascending.begin(), ascending.end(), -1) == 48 * 3);
}

TEST_CASE("simt: warps add up by shuffles") {
  std::vector<float> values(64);
  std::iota(values.begin(), values.end(), 1.0f);
  const auto out = drnas::test::in_every_order([&] {
    const DeviceArray<float> in(values), sums(values.size());
    launch("warp_sum", warp_sum_kernel, {1, 64}, nullptr, in, sums);
    return sums.read();
  });
  for (int i = 0; i < 64; ++i) CHECK(out[i] == (i < 32 ? 528.0f : 1552.0f));
}

TEST_CASE("simt: a write after shared memory is caught" *
#ifdef __SANITIZE_ADDRESS__
          doctest::skip()  // there the sanitizer stops the program, which is what it is for
#else
          doctest::skip(false)
#endif
) {
  launch("overrun", shared_overrun_kernel, {1, 32, 64}, nullptr, 15);
  CHECK(simt::take_faults().empty());
  launch("overrun", shared_overrun_kernel, {1, 32, 64}, nullptr, 16);
  const auto faults = simt::take_faults();
  REQUIRE(faults.size() == 1);
  CHECK(faults[0] == "block (0, 0) wrote outside its shared memory of 64 bytes");
}

TEST_CASE("simt: a write outside device memory is caught") {
  {
    const DeviceArray<int> out(10);
    launch("overrun", device_overrun_kernel, {1, 32}, nullptr, out, 9);
    simt::check_device_memory();
    CHECK(simt::take_faults().empty());
    launch("overrun", device_overrun_kernel, {1, 32}, nullptr, out, 10);
    simt::check_device_memory();
    REQUIRE(simt::take_faults().size() == 1);
  }
  CHECK(simt::take_faults().size() == 1);  // again when the memory was given back
  for (int block = 0; block < 20; ++block) {
    {
      const DeviceArray<int> out(10);
      launch("overrun", device_overrun_kernel, {1, 32}, nullptr, out, -1);
    }
    CHECK(simt::take_faults().size() == 1);  // at once, or when the memory was given back
  }
}

TEST_CASE("simt: a read outside device memory is caught, whichever end of its pages a block has") {
  for (int block = 0; block < 20; ++block) {
    const DeviceArray<int> in(12), out(1);
    launch("read", device_read_kernel, {1, 32}, nullptr, in, 11, out);
    CHECK(simt::take_faults().empty());
    for (const int at : {1100, -1100}) {
      launch("read", device_read_kernel, {1, 32}, nullptr, in, at, out);
      const auto faults = simt::take_faults();
      REQUIRE(faults.size() == 1);
      CHECK(faults[0] == "an access outside memory of 48 bytes, at byte " + std::to_string(4 * at));
    }
  }
  // Right after its last 16-byte word where it ends its pages: every other block.
  int caught = 0;
  for (int block = 0; block < 20; ++block) {
    const DeviceArray<int> in(12), out(1);
    launch("read", device_read_kernel, {1, 32}, nullptr, in, 12, out);
    caught += static_cast<int>(simt::take_faults().size());
  }
  CHECK(caught > 4);
  CHECK(caught < 16);
}

TEST_CASE("simt: a shuffle whose lane has ended is caught") {
  const DeviceArray<float> out(64);
  launch("lost_lane", lost_lane_kernel, {1, 64}, nullptr, out);
  const auto faults = simt::take_faults();
  REQUIRE(faults.size() == 1);
  CHECK(faults[0] ==
        "block (0, 0) cannot go on: 0 threads wait at a barrier, 31 in a warp exchange, 33 have "
        "ended");
}

TEST_CASE("simt: a barrier counts the threads that have not ended, atomics count every thread") {
  const DeviceArray<int> out(40);
  launch("ended", ended_threads_kernel, {1, 64}, nullptr, out);
  CHECK(out.read()[39] == 39);
  const DeviceArray<unsigned> counter(std::vector<unsigned>{0});
  launch("count", count_kernel, {5, 77}, nullptr, counter);
  CHECK(counter.read()[0] == 5 * 77);
  CHECK(simt::take_faults().empty());
}

TEST_CASE("simt: a captured stream records, a graph replays") {
  const DeviceArray<unsigned> counter(std::vector<unsigned>{0});
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t replay;
  REQUIRE(cudaStreamCreate(&stream) == cudaSuccess);
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal) == cudaSuccess);
  launch("count", count_kernel, {1, 32}, stream, counter);
  launch("count", count_kernel, {2, 32}, stream, counter);
  CHECK(cudaStreamSynchronize(stream) != cudaSuccess);
  REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  CHECK(counter.read()[0] == 0);
  std::size_t nodes = 0;
  REQUIRE(cudaGraphGetNodes(graph, nullptr, &nodes) == cudaSuccess);
  CHECK(nodes == 2);
  REQUIRE(cudaGraphInstantiate(&replay, graph) == cudaSuccess);
  cudaGraphDestroy(graph);
  cudaGraphLaunch(replay, stream);
  cudaGraphLaunch(replay, stream);
  CHECK(counter.read()[0] == 2 * 96);
  cudaGraphExecDestroy(replay);
  cudaStreamDestroy(stream);
}

namespace {

/// Fills 99 KiB of shared memory, one word a turn of each thread, and counts the words.
__global__ void shared_kernel(int* count) {
  constexpr int words = 99 * 1024 / sizeof(int);
  int* memory = static_cast<int*>(simt::shared_memory());
  for (int i = static_cast<int>(threadIdx.x); i < words; i += 32) memory[i] = 1;
  __syncthreads();
  if (threadIdx.x != 0) return;
  int sum = 0;
  for (int i = 0; i < words; ++i) sum += memory[i];
  *count = sum;
}

}  // namespace

TEST_CASE("simt: launches outside the limits of a GPU fail") {
  const DeviceArray<unsigned> counter(std::vector<unsigned>{0});
  CHECK_THROWS_WITH_AS(launch("count", count_kernel, {1, 1025}, nullptr, counter),
                       "CUDA: count: invalid argument", drnas::Error);
  // More shared memory than every card's blocks may have.
  CHECK_THROWS_AS(launch("count", count_kernel, {1, 32, 100 * 1024}, nullptr, counter),
                  drnas::Error);
  cudaLaunchConfig_t unasked{};
  unasked.dynamicSmemBytes = 49 * 1024;
  CHECK(cudaLaunchKernelEx(&unasked, shared_kernel, static_cast<int*>(nullptr)) != cudaSuccess);
}

TEST_CASE("simt: a kernel gets the shared memory that launch() asks for") {
  constexpr std::size_t bytes = 99 * 1024;
  const DeviceArray<int> out(1);
  launch("shared", shared_kernel, {1, 32, bytes}, nullptr, out);
  CHECK(out.read()[0] == static_cast<int>(bytes / sizeof(int)));
}

namespace {

__global__ void add_one_kernel(int* value) { *value += 1; }

/// Pinned memory that kernels write to.
struct Pinned {
  Pinned() {
    void* memory = nullptr;
    REQUIRE(cudaHostAlloc(&memory, sizeof(int), cudaHostAllocMapped) == cudaSuccess);
    value = static_cast<int*>(memory);
    *value = 0;
  }
  ~Pinned() { cudaFreeHost(value); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  int* value;
};

}  // namespace

TEST_CASE("simt: work of a stream runs when somebody waits for it") {
  const Pinned pinned;
  cudaStream_t stream = nullptr, other = nullptr;
  REQUIRE(cudaStreamCreate(&stream) == cudaSuccess);
  REQUIRE(cudaStreamCreate(&other) == cudaSuccess);
  launch("add_one", add_one_kernel, {1, 1}, stream, pinned.value);
  CHECK(*pinned.value == 0);
  CHECK(cudaStreamSynchronize(other) == cudaSuccess);
  CHECK(*pinned.value == 0);
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(*pinned.value == 1);

  // A copy takes what the host's memory holds when it runs.
  const DeviceArray<int> there(std::vector<int>{0});
  int here = 3;
  CHECK(cudaMemcpyAsync(there, &here, sizeof here, cudaMemcpyHostToDevice, stream) == cudaSuccess);
  here = 4;
  CHECK(there.read() == std::vector<int>{4});

  // The stream that null stands for waits for all others, and they for it.
  launch("add_one", add_one_kernel, {1, 1}, stream, pinned.value);
  CHECK(*pinned.value == 1);
  launch("add_one", add_one_kernel, {1, 1}, nullptr, pinned.value);
  CHECK(*pinned.value == 2);
  launch("add_one", add_one_kernel, {1, 1}, other, pinned.value);
  CHECK(*pinned.value == 3);
  CHECK(cudaStreamDestroy(other) == cudaSuccess);
  CHECK(*pinned.value == 4);
  CHECK(cudaStreamDestroy(stream) == cudaSuccess);
}
