// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "cuda_runtime.h"
#include "executor.h"
#include "guarded_memory.h"

namespace simt {
namespace {
std::map<const void*, int>& shared_bytes_of_kernels() {
  static std::map<const void*, int> all;
  return all;
}
}  // namespace

cudaError_t allow_shared_bytes(const void* kernel, int bytes) {
  if (bytes < 0 || static_cast<std::size_t>(bytes) > max_shared_bytes) return cudaErrorInvalidValue;
  shared_bytes_of_kernels()[kernel] = bytes;
  return cudaSuccess;
}
std::size_t allowed_shared_bytes(const void* kernel) {
  const auto found = shared_bytes_of_kernels().find(kernel);
  constexpr std::size_t of_all = 48 * 1024;
  return found == shared_bytes_of_kernels().end() ? of_all
                                                  : static_cast<std::size_t>(found->second);
}

struct Graph {
  std::vector<std::function<void()>> nodes;
};
/// Work comes to run when somebody waits for it, as late as a card may do it: results that are read
/// too early, and host memory that dies or changes too early, show.
struct Stream {
  Graph* recording = nullptr;
  std::deque<std::function<void()>> late;
};

void count_graph_launch();
Card card;
void set_card(Card wanted) { card = wanted; }

namespace {

/// While any stream records, calls that wait or allocate are errors; allocation is not where the
/// thread has relaxed its mode.
int recording_streams = 0;
cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;
bool forbidden() { return recording_streams > 0; }
bool allocation_forbidden() { return forbidden() && thread_mode != cudaStreamCaptureModeRelaxed; }

/// Calls that run until one faults, and whether one has.
int calls_to_fault = 0;
bool faulted = false;
cudaError_t take_fault() {
  return std::exchange(faulted, false) ? cudaErrorLaunchFailure : cudaSuccess;
}
void run(const std::function<void()>& work) {
  work();
  if (calls_to_fault > 0 && --calls_to_fault == 0) faulted = true;
}

void finish(Stream& stream) {
  while (!stream.late.empty()) {
    const auto work = std::move(stream.late.front());
    stream.late.pop_front();
    run(work);
  }
}

/// The stream that null stands for; others wait for what it holds, and it for what they hold.
Stream default_stream;
Stream& of(cudaStream_t stream) { return stream ? *stream : default_stream; }
std::vector<Stream*> made;

}  // namespace

void finish_work() {
  finish(default_stream);
  for (Stream* const stream : made) finish(*stream);
}

cudaError_t enqueue(cudaStream_t stream, std::function<void()> work) {
  Stream& s = of(stream);
  if (const cudaError_t error = take_fault(); error != cudaSuccess) return error;
  if (s.recording) {
    s.recording->nodes.push_back(std::move(work));
    return cudaSuccess;
  }
  if (stream)
    finish(default_stream);
  else
    for (Stream* const other : made) finish(*other);
  s.late.push_back(std::move(work));
  return cudaSuccess;
}

void check_device_memory() {
  finish_work();
  device_memory().check();
  pinned_memory().check();
}

std::size_t pinned_bytes() { return pinned_memory().bytes(); }
std::size_t device_bytes() { return device_memory().bytes(); }
void fault_after(int calls) {
  finish_work();
  calls_to_fault = calls;
}

}  // namespace simt

using simt::of;

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
    default:
      return "operation not permitted while the stream is captured";
  }
}

cudaError_t cudaGetLastError() { return cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* count) {
  int runtime = 0;
  cudaRuntimeGetVersion(&runtime);
  *count = simt::card.devices;
  if (simt::card.driver < runtime) return cudaErrorInsufficientDriver;
  return simt::card.devices > 0 ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrComputeCapabilityMajor ? simt::card.capability_major : 0;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {"host executor", std::size_t{1} << 34};
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = simt::card.driver;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  if (simt::forbidden()) return cudaErrorStreamCaptureInvalidated;
  simt::finish_work();
  return simt::take_fault();
}

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  if (simt::allocation_forbidden()) return cudaErrorStreamCaptureInvalidated;
  if (simt::device_bytes() + bytes > simt::card.device_bytes) return cudaErrorMemoryAllocation;
  *pointer = simt::device_memory().allocate(bytes);
  return *pointer ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaFree(void* pointer) {
  if (!pointer) return cudaSuccess;
  if (simt::allocation_forbidden()) return cudaErrorStreamCaptureInvalidated;
  simt::finish_work();
  if (simt::device_memory().free(pointer)) return cudaSuccess;
  simt::report_fault("cudaFree of an unknown pointer");
  return cudaErrorInvalidValue;
}

cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  *pointer = std::malloc(bytes);
  return *pointer ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFreeHost(void* pointer) {
  simt::finish_work();
  if (!simt::pinned_memory().free(pointer)) std::free(pointer);  // of cudaMallocHost
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned flags) {
  if (flags != cudaHostAllocMapped) return cudaErrorInvalidValue;
  if (simt::allocation_forbidden()) return cudaErrorStreamCaptureInvalidated;
  if (simt::pinned_bytes() + bytes > simt::card.pinned_bytes) return cudaErrorMemoryAllocation;
  *pointer = simt::pinned_memory().allocate(bytes);
  return *pointer ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned flags) {
  if (flags != 0 || !simt::pinned_memory().holds(host)) return cudaErrorInvalidValue;
  *device = host;
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  return simt::enqueue(stream, [=] {
    if (bytes == 0) return;
    std::memcpy(to, from, bytes);
    simt::check::written(to, bytes);
  });
}
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  if (simt::forbidden()) return cudaErrorStreamCaptureInvalidated;
  if (const cudaError_t error = cudaMemcpyAsync(to, from, bytes, kind, nullptr);
      error != cudaSuccess)
    return error;
  return cudaDeviceSynchronize();
}
cudaError_t cudaMemsetAsync(void* pointer, int value, std::size_t bytes, cudaStream_t stream) {
  return simt::enqueue(stream, [=] {
    std::memset(pointer, value, bytes);
    // NaN patterns stand for memory without a value.
    if (value == 0xff)
      simt::check::poisoned(pointer, bytes);
    else
      simt::check::written(pointer, bytes);
  });
}
cudaError_t cudaMemset(void* pointer, int value, std::size_t bytes) {
  if (simt::forbidden()) return cudaErrorStreamCaptureInvalidated;
  return cudaMemsetAsync(pointer, value, bytes, nullptr);
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  *stream = simt::made.emplace_back(new simt::Stream);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  simt::finish(*stream);
  std::erase(simt::made, stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (of(stream).recording) return cudaErrorStreamCaptureInvalidated;
  simt::finish(of(stream));
  return simt::take_fault();
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (!stream || stream->recording) return cudaErrorInvalidValue;
  stream->recording = new simt::Graph;
  ++simt::recording_streams;
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = of(stream).recording ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  std::swap(*mode, simt::thread_mode);
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  if (!stream || !stream->recording) return cudaErrorInvalidValue;
  *graph = stream->recording;
  stream->recording = nullptr;
  --simt::recording_streams;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = new simt::Graph(*graph);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  simt::count_graph_launch();
  return simt::enqueue(stream, [exec] {
    for (const auto& node : exec->nodes) node();
  });
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t*, std::size_t* count) {
  *count = graph->nodes.size();
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  simt::finish_work();
  delete exec;
  return cudaSuccess;
}
