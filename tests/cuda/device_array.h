// SPDX-License-Identifier: MIT
// Arrays in device memory, for tests and benchmarks.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "kernels/core/launch.h"
#include "tests/cases/buffers.h"

namespace drnas::test {

/// An array in device memory of its own, so that accesses outside it are found.
template <class T>
class DeviceArray {
 public:
  /// Filled with NaN patterns.
  explicit DeviceArray(std::size_t count) : count_(count) {
    void* memory = nullptr;
    kernels::require_cuda(cudaMalloc(&memory, std::max<std::size_t>(bytes(), 1)), "allocate");
    data_ = static_cast<T*>(memory);
    kernels::require_cuda(cudaMemset(data_, 0xff, bytes()), "fill");
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    write(values.data());
  }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return data_; }
  operator T*() const { return data_; }
  std::size_t bytes() const { return count_ * sizeof(T); }
  void write(const T* from) {
    kernels::require_cuda(cudaMemcpy(data_, from, bytes(), cudaMemcpyHostToDevice), "copy");
  }
  void read(T* to) const {
    kernels::require_cuda(cudaDeviceSynchronize(), "finish");
    kernels::require_cuda(cudaMemcpy(to, data_, bytes(), cudaMemcpyDeviceToHost), "copy");
  }
  std::vector<T> read() const {
    std::vector<T> values(count_);
    read(values.data());
    return values;
  }

 private:
  T* data_ = nullptr;
  std::size_t count_;
};

#ifdef DRNAS_SIMT
/// The executor looks after what lies beside device memory.
template <>
class Memory<Device::cuda> {
 public:
  explicit Memory(std::size_t bytes) : memory_(bytes) {}
  void* data() { return memory_.data(); }
  void write(const void* from) { memory_.write(static_cast<const unsigned char*>(from)); }
  void read(void* to) { memory_.read(static_cast<unsigned char*>(to)); }
  bool intact() const { return true; }

 private:
  DeviceArray<unsigned char> memory_;
};
#else
/// Between guard zones, which intact() reads back.
template <>
class Memory<Device::cuda> {
 public:
  explicit Memory(std::size_t bytes)
      : bytes_(bytes), memory_(std::vector<unsigned char>(bytes + 2 * zone, mark)) {}
  void* data() { return memory_.data() + zone; }
  void write(const void* from) {
    kernels::require_cuda(cudaMemcpy(data(), from, bytes_, cudaMemcpyHostToDevice), "copy");
  }
  void read(void* to) {
    const std::vector<unsigned char> all = memory_.read();
    std::copy_n(all.begin() + zone, bytes_, static_cast<unsigned char*>(to));
  }
  bool intact() const {
    std::vector<unsigned char> all = memory_.read();
    all.erase(all.begin() + zone, all.end() - zone);
    return std::all_of(all.begin(), all.end(), [](unsigned char byte) { return byte == mark; });
  }

 private:
  static constexpr std::ptrdiff_t zone = 256;  // as memory is aligned
  static constexpr unsigned char mark = 0xc6;
  std::size_t bytes_;
  DeviceArray<unsigned char> memory_;
};
#endif

}  // namespace drnas::test
