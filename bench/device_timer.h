// SPDX-License-Identifier: MIT
// Times of work on the card, by CUDA events round a recorded graph.
#pragma once

#include <algorithm>
#include <functional>
#include <vector>

#include "kernels/core/launch.h"
#include "tests/cuda/device_array.h"

namespace drnas::bench {

using kernels::require_cuda;
using test::DeviceArray;

/// The stream on which everything is timed, with two events.
class DeviceTimer {
 public:
  DeviceTimer() {
    require_cuda(cudaStreamCreate(&stream_), "create a stream");
    require_cuda(cudaEventCreate(&begin_), "create an event");
    require_cuda(cudaEventCreate(&end_), "create an event");
  }
  ~DeviceTimer() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
    cudaStreamDestroy(stream_);
  }
  DeviceTimer(const DeviceTimer&) = delete;
  DeviceTimer& operator=(const DeviceTimer&) = delete;

  kernels::Stream stream() const { return stream_; }
  void wait() const { require_cuda(cudaStreamSynchronize(stream_), "finish"); }

  /// Milliseconds of one call, the median of `rounds` replays of a graph that holds
  /// call(0), ..., call(calls - 1). Each is called once before, which builds plans of vendor
  /// libraries.
  double milliseconds(int calls, int rounds, const std::function<void(int)>& call) const {
    for (int i = 0; i < calls; ++i) call(i);
    wait();
    const cudaGraphExec_t graph = record(calls, call);
    std::vector<float> times;
    for (int r = 0; r <= rounds; ++r) {  // the first replay warms up
      float ms = 0;
      require_cuda(cudaEventRecord(begin_, stream_), "record an event");
      require_cuda(cudaGraphLaunch(graph, stream_), "launch a graph");
      require_cuda(cudaEventRecord(end_, stream_), "record an event");
      require_cuda(cudaEventSynchronize(end_), "finish");
      require_cuda(cudaEventElapsedTime(&ms, begin_, end_), "read the time");
      if (r > 0) times.push_back(ms);
    }
    require_cuda(cudaGraphExecDestroy(graph), "destroy a graph");
    std::sort(times.begin(), times.end());
    return times[times.size() / 2] / calls;
  }

 private:
  cudaGraphExec_t record(int calls, const std::function<void(int)>& call) const {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec = nullptr;
    require_cuda(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "record");
    for (int i = 0; i < calls; ++i) call(i);
    require_cuda(cudaStreamEndCapture(stream_, &graph), "record");
    require_cuda(cudaGraphInstantiate(&exec, graph, 0), "prepare a graph");
    require_cuda(cudaGraphDestroy(graph), "prepare a graph");
    return exec;
  }

  cudaStream_t stream_ = nullptr;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

}  // namespace drnas::bench
