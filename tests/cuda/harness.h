// SPDX-License-Identifier: MIT
// Tests of CUDA kernels against their CPU twins. The same sources run on a GPU (target cuda_tests)
// and on the host executor (target simt_tests), there under several orders of threads and blocks
// whose results must agree bit for bit.
#pragma once

#include <cuda_runtime.h>
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/core/launch.h"
#ifdef DRNAS_SIMT
#include "executor.h"
#endif

namespace drnas::test {

/// An array in device memory of its own, so that accesses outside it are found.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(const std::vector<T>& values) : count_(values.size()) {
    void* memory = nullptr;
    kernels::require_cuda(cudaMalloc(&memory, count_ * sizeof(T)), "allocate");
    data_ = static_cast<T*>(memory);
    kernels::require_cuda(
        cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice), "copy");
  }
  /// Filled with NaN patterns.
  explicit DeviceArray(std::size_t count) : DeviceArray(poison(count)) {}
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return data_; }
  operator T*() const { return data_; }
  std::vector<T> read() const {
    std::vector<T> values(count_);
    kernels::require_cuda(cudaDeviceSynchronize(), "finish");
    kernels::require_cuda(
        cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost), "copy");
    return values;
  }

 private:
  static std::vector<T> poison(std::size_t count) {
    std::vector<T> values(count);
    if (count) std::memset(static_cast<void*>(values.data()), 0xff, count * sizeof(T));
    return values;
  }

  T* data_ = nullptr;
  std::size_t count_;
};

/// Workspaces come in bytes.
using DeviceBytes = DeviceArray<unsigned char>;

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
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
  simt::check_device_memory();
  for (const std::string& fault : simt::take_faults()) FAIL_CHECK(fault);
#else
  CHECK(same_bits(first, body()));
#endif
  return first;
}

/// The test's random numbers; DRNAS_TEST_SEED changes them.
inline std::mt19937 random_engine(std::uint32_t salt) {
  const char* seed = std::getenv("DRNAS_TEST_SEED");
  return std::mt19937(salt + 7919u * static_cast<std::uint32_t>(seed ? std::atoi(seed) : 0));
}

inline std::vector<float> normals(std::mt19937& engine, std::size_t count, float deviation = 1) {
  std::normal_distribution<float> draw(0, deviation);
  std::vector<float> values(count);
  for (float& v : values) v = draw(engine);
  return values;
}

/// Largest difference relative to the largest expected magnitude.
template <class A, class B>
double relative_error(const std::vector<A>& got, const std::vector<B>& expected) {
  REQUIRE(got.size() == expected.size());
  double difference = 0, scale = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double d = std::abs(static_cast<double>(got[i]) - static_cast<double>(expected[i]));
    if (!(d <= difference)) difference = d;  // NaN stays
    scale = std::max(scale, std::abs(static_cast<double>(expected[i])));
  }
  return scale > 0 ? difference / scale : difference;
}

}  // namespace drnas::test
