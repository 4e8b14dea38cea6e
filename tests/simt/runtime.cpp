// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "cuda_runtime.h"
#include "executor.h"

namespace simt {

struct Graph {
  std::vector<std::function<void()>> nodes;
};
struct Stream {
  Graph* recording = nullptr;
};

void count_graph_launch();
Card card;
void set_card(Card wanted) { card = wanted; }

namespace {

constexpr std::size_t guard_bytes = 512;
constexpr unsigned char guard_value = 0xa5, poison_value = 0xff;

/// While any stream records, calls that wait or allocate are errors; allocation is not where the
/// thread has relaxed its mode.
int recording_streams = 0;
cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;
bool forbidden() { return recording_streams > 0; }
bool allocation_forbidden() { return forbidden() && thread_mode != cudaStreamCaptureModeRelaxed; }

/// The stream that null stands for.
Stream default_stream;
Stream& of(cudaStream_t stream) { return stream ? *stream : default_stream; }

using Blocks = std::map<unsigned char*, std::size_t>;
Blocks& device_memory() {
  static auto* blocks = new Blocks;
  return *blocks;
}
Blocks& pinned_memory() {
  static auto* blocks = new Blocks;
  return *blocks;
}

bool untouched(const unsigned char* from) {
  return std::all_of(from, from + guard_bytes, [](unsigned char b) { return b == guard_value; });
}

void check_block(unsigned char* data, std::size_t bytes) {
  if (!untouched(data - guard_bytes) || !untouched(data + bytes))
    report_fault("a write outside device memory of " + std::to_string(bytes) + " bytes");
}

/// Poisoned memory between guard zones; null where there is none.
void* guarded_block(Blocks& blocks, std::size_t bytes) {
  const std::size_t whole = (bytes + 2 * guard_bytes + 255) / 256 * 256;
  auto* memory = static_cast<unsigned char*>(std::aligned_alloc(256, whole));
  if (!memory) return nullptr;
  unsigned char* data = memory + guard_bytes;
  std::memset(memory, guard_value, whole);
  std::memset(data, poison_value, bytes);
  blocks[data] = bytes;
  return data;
}

void free_block(Blocks& blocks, Blocks::iterator block) {
  check_block(block->first, block->second);
  std::free(block->first - guard_bytes);
  blocks.erase(block);
}

}  // namespace

cudaError_t enqueue(cudaStream_t stream, std::function<void()> work) {
  Stream& s = of(stream);
  if (s.recording)
    s.recording->nodes.push_back(std::move(work));
  else
    work();
  return cudaSuccess;
}

void check_device_memory() {
  for (const Blocks* blocks : {&device_memory(), &pinned_memory()})
    for (const auto& [data, bytes] : *blocks) check_block(data, bytes);
}

std::size_t pinned_bytes() {
  std::size_t sum = 0;
  for (const auto& [data, bytes] : pinned_memory()) sum += bytes;
  return sum;
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
  return simt::forbidden() ? cudaErrorStreamCaptureInvalidated : cudaSuccess;
}

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  if (simt::allocation_forbidden()) return cudaErrorStreamCaptureInvalidated;
  *pointer = simt::guarded_block(simt::device_memory(), bytes);
  return *pointer ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaFree(void* pointer) {
  if (!pointer) return cudaSuccess;
  if (simt::allocation_forbidden()) return cudaErrorStreamCaptureInvalidated;
  auto& blocks = simt::device_memory();
  const auto found = blocks.find(static_cast<unsigned char*>(pointer));
  if (found == blocks.end()) {
    simt::report_fault("cudaFree of an unknown pointer");
    return cudaErrorInvalidValue;
  }
  simt::free_block(blocks, found);
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  *pointer = std::malloc(bytes);
  return *pointer ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFreeHost(void* pointer) {
  auto& blocks = simt::pinned_memory();
  const auto found = blocks.find(static_cast<unsigned char*>(pointer));
  if (found == blocks.end())
    std::free(pointer);  // of cudaMallocHost
  else
    simt::free_block(blocks, found);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned flags) {
  if (flags != cudaHostAllocMapped) return cudaErrorInvalidValue;
  if (simt::allocation_forbidden()) return cudaErrorStreamCaptureInvalidated;
  if (simt::pinned_bytes() + bytes > simt::card.pinned_bytes) return cudaErrorMemoryAllocation;
  *pointer = simt::guarded_block(simt::pinned_memory(), bytes);
  return *pointer ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned flags) {
  const auto& blocks = simt::pinned_memory();
  if (flags != 0 || !blocks.count(static_cast<unsigned char*>(host))) return cudaErrorInvalidValue;
  *device = host;
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  return simt::enqueue(stream, [=] {
    if (bytes) std::memcpy(to, from, bytes);
  });
}
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  if (simt::forbidden()) return cudaErrorStreamCaptureInvalidated;
  return cudaMemcpyAsync(to, from, bytes, kind, nullptr);
}
cudaError_t cudaMemsetAsync(void* pointer, int value, std::size_t bytes, cudaStream_t stream) {
  return simt::enqueue(stream, [=] { std::memset(pointer, value, bytes); });
}
cudaError_t cudaMemset(void* pointer, int value, std::size_t bytes) {
  if (simt::forbidden()) return cudaErrorStreamCaptureInvalidated;
  return cudaMemsetAsync(pointer, value, bytes, nullptr);
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  *stream = new simt::Stream;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return of(stream).recording ? cudaErrorStreamCaptureInvalidated : cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (!stream || stream->recording) return cudaErrorInvalidValue;
  stream->recording = new simt::Graph;
  ++simt::recording_streams;
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
  delete exec;
  return cudaSuccess;
}
