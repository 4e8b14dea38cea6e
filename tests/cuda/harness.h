// SPDX-License-Identifier: MIT
// Tests of CUDA kernels against their CPU twins. The same sources run on a GPU (target cuda_tests)
// and on the host executor (target simt_tests), there under several orders of threads and blocks
// whose results must agree bit for bit.
#pragma once

#include <cuda_runtime.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "tests/cuda/device_array.h"
#include "tests/support/calls.h"
#ifdef DRNAS_SIMT
#include "executor.h"
#endif

namespace drnas::test {

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

inline bool same_bits(const Results& a, const Results& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && same_bits(x.second, y.second);
  });
}

/// What the host executor found so far: accesses outside arrays and what a GPU forbids.
inline void check_faults() {
#ifdef DRNAS_SIMT
  simt::check_device_memory();
  for (const std::string& fault : simt::take_faults()) FAIL_CHECK(fault);
#endif
}

/// Runs `body`, which launches kernels on fresh arrays and returns what they wrote, under four
/// orders of threads and three of blocks (on a GPU: twice). Checks that all results have the same
/// bits and that nothing outside the arrays was touched. Returns the result.
template <class Body>
auto in_every_order(const Body& body) {
  auto first = body();
#ifdef DRNAS_SIMT
  for (const simt::Order order : {simt::Order{1, 1}, {2, 0}, {3, 2}}) {
    simt::set_order(order);
    const auto again = body();
    CAPTURE(order.threads);
    CAPTURE(order.blocks);
    CHECK(same_bits(first, again));
  }
  simt::set_order({});
#else
  CHECK(same_bits(first, body()));
#endif
  check_faults();
  return first;
}

/// On the device, in the usual order alone.
struct OnDeviceOnce {
  Layouts layouts = nullptr;

  template <class Place>
  Results operator()(const Place& place) const {
    const Results results = run_call<Device::cuda>(place, layouts);
    check_faults();
    return results;
  }
};

/// On the device, in every order.
struct OnDevice {
  /// Roundings of a float32 sum over a plane, in a thread and over a warp.
  static constexpr double sum_roundings = 40;
  Layouts layouts = nullptr;

  OnDeviceOnce once() const { return {layouts}; }
  /// Images and their strides are aligned or not; every fourth time all are dense.
  static OnDevice any_layout(Rng& rng) {
    const int shift = pick(rng, {0, 0, 1, 2}), gap = pick(rng, {0, 0, 1, 2});
    return {rng() % 4 ? every_image({shift, gap}) : nullptr};
  }
  template <class Place>
  Results operator()(const Place& place) const {
    return in_every_order([&] { return once()(place); });
  }
};

/// On the device, by a graph that is launched twice; nothing runs while it is recorded.
struct Replayed {
  template <class Place>
  Results operator()(const Place& place) const {
    return run_call<Device::cuda>([&](Buffers<Device::cuda>& buffers) {
      const Call call = place(buffers);
      return buffers.call(0, [call, &buffers](kernels::Stream) { replay(call, buffers); });
    });
  }

 private:
  static void replay(const Call& call, const Buffers<Device::cuda>& buffers) {
    const Results before = buffers.results();
    cudaStream_t stream = nullptr;
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec = nullptr;
    kernels::require_cuda(cudaStreamCreate(&stream), "create a stream");
    kernels::require_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal),
                          "record");
    call.run(stream);
    kernels::require_cuda(cudaStreamEndCapture(stream, &graph), "record");
    CHECK(same_bits(buffers.results(), before));
    kernels::require_cuda(cudaGraphInstantiate(&exec, graph, 0), "prepare a graph");
    for (int i = 0; i < 2; ++i) kernels::require_cuda(cudaGraphLaunch(exec, stream), "launch");
    kernels::require_cuda(cudaStreamSynchronize(stream), "finish");
    cudaGraphExecDestroy(exec);
    cudaGraphDestroy(graph);
    cudaStreamDestroy(stream);
  }
};

/// Checks that a call does the same when it comes from a graph, as it did before.
template <class Place>
void check_replay(const Place& place) {
  const Results directly = OnDeviceOnce{}(place);
  CHECK(same_bits(Replayed{}(place), directly));
}

}  // namespace drnas::test
