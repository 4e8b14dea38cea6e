// SPDX-License-Identifier: MIT
#include "engine/memory/native_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#ifdef DRNAS_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

#include "kernels/core/error.h"

namespace drnas::native {
namespace {

/// Maps one step more than needed and unmaps both ends, so that huge pages fit from the first byte.
void* map_aligned(std::size_t bytes, int protection, int flags) {
  const std::size_t mapped = bytes + reservation_step;
  void* const start =
      ::mmap(nullptr, mapped, protection, flags | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) return nullptr;
  const auto address = reinterpret_cast<std::uintptr_t>(start);
  const std::size_t before = (reservation_step - address % reservation_step) % reservation_step;
  std::byte* const base = static_cast<std::byte*>(start) + before;
  if (before > 0) ::munmap(start, before);
  if (before < reservation_step) ::munmap(base + bytes, reservation_step - before);
  return base;
}

void* allocate_host(std::size_t bytes) {
  void* const base = map_aligned(bytes, PROT_READ | PROT_WRITE, 0);
#ifdef MADV_HUGEPAGE
  // A hint: kernels without huge pages refuse it.
  if (base != nullptr) ::madvise(base, bytes, MADV_HUGEPAGE);
#endif
  return base;
}

#ifdef DRNAS_WITH_CUDA

void require(cudaError_t code, const char* what) {
  if (code != cudaSuccess)
    throw Error(std::string("CUDA: cannot ") + what + ": " + cudaGetErrorString(code));
}

void* allocate_cuda(std::size_t bytes) {
  void* pointer = nullptr;
  // A step may just be recorded: new memory is no part of it, which this thread has to say.
  cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  require(cudaThreadExchangeStreamCaptureMode(&mode), "allocate memory");
  const cudaError_t code = cudaMalloc(&pointer, bytes);
  require(cudaThreadExchangeStreamCaptureMode(&mode), "allocate memory");
  if (code == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // forget it: the caller may give memory back and try again
    return nullptr;
  }
  require(code, "allocate memory");
  return pointer;
}

void release_cuda(void* pointer) { cudaFree(pointer); }

Pinned allocate_mapped(std::size_t bytes) {
  Pinned memory;
  const cudaError_t code = cudaHostAlloc(&memory.host, bytes, cudaHostAllocMapped);
  if (code == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // forget it: the caller can do without
    return {};
  }
  require(code, "allocate pinned memory");
  const cudaError_t mapped = cudaHostGetDevicePointer(&memory.device, memory.host, 0);
  if (mapped != cudaSuccess) cudaFreeHost(memory.host);
  require(mapped, "map pinned memory");
  return memory;
}

void release_mapped(void* host) {
  cudaDeviceSynchronize();
  cudaFreeHost(host);
}

void fill_cuda(void* pointer, std::byte value, std::size_t bytes) {
  require(cudaDeviceSynchronize(), "finish the work before filling memory");
  require(cudaMemset(pointer, static_cast<int>(value), bytes), "fill memory");
  require(cudaDeviceSynchronize(), "fill memory");
}

void copy_to_host(void* to, const void* from, std::size_t bytes) {
  require(cudaDeviceSynchronize(), "finish the work before checking memory");
  require(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost), "check memory");
}

#else

[[noreturn]] void refuse() { throw Error("device cuda: this build has no CUDA, expected cpu"); }
void* allocate_cuda(std::size_t) { refuse(); }
void release_cuda(void*) {}
Pinned allocate_mapped(std::size_t) { refuse(); }
void release_mapped(void*) {}
void fill_cuda(void*, std::byte, std::size_t) { refuse(); }
void copy_to_host(void*, const void*, std::size_t) { refuse(); }

#endif

}  // namespace

void* allocate(Device device, std::size_t bytes) {
  return device == Device::cpu ? allocate_host(bytes) : allocate_cuda(bytes);
}

// Neither readable nor writable, so that the system need not keep memory for it.
void* addresses(std::size_t bytes) { return map_aligned(bytes, PROT_NONE, MAP_NORESERVE); }

void release(Device device, void* pointer, std::size_t bytes) {
  if (device == Device::cpu)
    ::munmap(pointer, bytes);
  else
    release_cuda(pointer);
}

Pinned allocate_pinned(std::size_t bytes) { return allocate_mapped(bytes); }

void release_pinned(void* host) { release_mapped(host); }

void fill(Device device, void* pointer, std::byte value, std::size_t bytes) {
  if (device == Device::cpu)
    std::memset(pointer, static_cast<int>(value), bytes);
  else
    fill_cuda(pointer, value, bytes);
}

bool holds_only(Device device, const void* pointer, std::byte value, std::size_t bytes) {
  const auto is_value = [value](std::byte b) { return b == value; };
  if (device == Device::cpu) {
    const auto* begin = static_cast<const std::byte*>(pointer);
    return std::all_of(begin, begin + bytes, is_value);
  }
  std::vector<std::byte> copy(bytes);
  copy_to_host(copy.data(), pointer, bytes);
  return std::all_of(copy.begin(), copy.end(), is_value);
}

}  // namespace drnas::native
