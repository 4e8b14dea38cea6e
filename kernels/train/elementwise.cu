// SPDX-License-Identifier: MIT
// One thread up to 16 bytes of neighbours (one access where all arrays are aligned for it).
#include "kernels/train/elementwise.h"

#include <algorithm>
#include <cstring>

#include "kernels/core/cuda_vector.h"

namespace drnas::kernels {
namespace {

constexpr int threads = 256;
constexpr std::int64_t check_blocks = 1024;  // all_finite: enough for any GPU, threads loop

/// Neighbours of one thread: at most 16 bytes of any of the types.
template <class... T>
constexpr int per_thread = 16 / static_cast<int>(std::max({sizeof(T)...}));

/// The N neighbours from `at` on, of `count` elements in all.
template <int N>
struct Run {
  std::int64_t at, count;

  __device__ explicit Run(std::int64_t count) : at(N * global_thread()), count(count) {}
  __device__ bool whole() const { return at + N <= count; }
  template <bool aligned, class T>
  __device__ void load(const T* from, float (&to)[N]) const {
    if (aligned && whole()) return load_vector(from + at, to);
    for (int k = 0; k < N; ++k) to[k] = at + k < count ? static_cast<float>(from[at + k]) : 0.0f;
  }
  template <bool aligned, class T>
  __device__ void store(T* to, const float (&from)[N]) const {
    if (aligned && whole()) return store_vector(to + at, from);
    for (int k = 0; k < N; ++k)
      if (at + k < count) to[at + k] = static_cast<T>(from[k]);
  }
};

/// y = f(a, b) element by element; b may be null. y may be a or b.
template <bool aligned, class From, class To, class F>
__global__ void __launch_bounds__(threads)
    map_kernel(std::int64_t count, const From* a, const From* b, To* y, F f) {
  constexpr int n = per_thread<From, To>;
  const Run<n> run(count);
  if (run.at >= count) return;
  float first[n] = {}, second[n] = {};
  if (a) run.template load<aligned>(a, first);
  if (b) run.template load<aligned>(b, second);
  for (int k = 0; k < n; ++k) first[k] = f(first[k], second[k]);
  run.template store<aligned>(y, first);
}

struct Rectify {
  __device__ float operator()(float x, float) const { return x < 0.0f ? 0.0f : x; }
};
struct Add {
  __device__ float operator()(float a, float b) const { return a + b; }
};
struct Fill {
  float value;
  __device__ float operator()(float, float) const { return value; }
};
struct Keep {
  __device__ float operator()(float x, float) const { return x; }
};
/// dx = dy where x > 0, of (x, dy).
struct Mask {
  __device__ float operator()(float x, float dy) const { return x > 0.0f ? dy : 0.0f; }
};

/// dx += dy where x > 0.
template <bool aligned, class T>
__global__ void __launch_bounds__(threads)
    add_masked_kernel(std::int64_t count, const T* x, const T* dy, T* dx) {
  constexpr int n = per_thread<T>;
  const Run<n> run(count);
  if (run.at >= count) return;
  float in[n], d[n], sum[n];
  run.template load<aligned>(x, in);
  run.template load<aligned>(dy, d);
  run.template load<aligned>(dx, sum);
  for (int k = 0; k < n; ++k) sum[k] += Mask()(in[k], d[k]);
  run.template store<aligned>(dx, sum);
}

__global__ void __launch_bounds__(threads)
    add_doubles_kernel(std::int64_t count, const double* a, const double* b, double* y) {
  const std::int64_t i = global_thread();
  if (i < count) y[i] = a[i] + b[i];
}

__global__ void __launch_bounds__(threads) increment_kernel(int count, std::uint32_t* counters) {
  const std::int64_t i = global_thread();
  if (i < count) ++counters[i];
}

__global__ void set_counter_kernel(std::uint32_t value, std::uint32_t* counter) {
  *counter = value;
}

/// Counts in `found` the threads that see a value whose exponent has all bits.
template <bool aligned, class T>
__global__ void __launch_bounds__(threads)
    find_not_finite_kernel(std::int64_t count, const T* x, int* found) {
  constexpr int n = per_thread<T>;
  constexpr std::uint32_t exponent = 0x7f800000u;
  bool bad = false;
  Run<n> run(count);
  for (; run.at < count; run.at += std::int64_t{n} * gridDim.x * blockDim.x) {
    float values[n];
    run.template load<aligned>(x, values);
    for (int k = 0; k < n; ++k) {
      std::uint32_t bits;
      memcpy(&bits, &values[k], sizeof bits);
      bad = bad || (bits & exponent) == exponent;
    }
  }
  if (bad) atomicAdd(found, 1);
}

/// For n elements a thread.
LaunchShape shape_for(std::int64_t count, int n) {
  return {blocks_for(count, std::int64_t{threads} * n), threads};
}

template <class From, class To, class F>
void map(const char* name, std::int64_t count, const From* a, const From* b, To* y, const F& f,
         Stream stream) {
  constexpr int n = per_thread<From, To>;
  const auto kernel =
      aligned_for(n, a, b, y) ? map_kernel<true, From, To, F> : map_kernel<false, From, To, F>;
  launch(name, kernel, shape_for(count, n), stream, count, a, b, y, f);
}
template <class From, class To, class F>
void map(const char* name, std::int64_t count, const From* a, To* y, const F& f, Stream stream) {
  map<From, To>(name, count, a, nullptr, y, f, stream);
}

template <class T>
void masked(std::int64_t count, const T* x, const T* dy, T* dx, bool accumulate, Stream stream) {
  if (!accumulate) return map("relu_backward", count, x, dy, dx, Mask(), stream);
  constexpr int n = per_thread<T>;
  const auto kernel =
      aligned_for(n, x, dy, dx) ? add_masked_kernel<true, T> : add_masked_kernel<false, T>;
  launch("relu_backward", kernel, shape_for(count, n), stream, count, x, dy, dx);
}

/// all_finite's flag in device memory: one a thread of the program, for good.
int* finite_flag() {
  static thread_local int* flag = nullptr;
  if (!flag) {
    void* memory = nullptr;
    require_cuda(cudaMalloc(&memory, sizeof(int)), "all_finite");
    flag = static_cast<int*>(memory);
  }
  return flag;
}

template <class T>
bool finite(std::int64_t count, const T* x, Stream stream) {
  const auto cuda_stream = static_cast<cudaStream_t>(stream);
  int found = 0, *flag = finite_flag();
  require_cuda(cudaMemsetAsync(flag, 0, sizeof found, cuda_stream), "all_finite");
  constexpr int n = per_thread<T>;
  LaunchShape shape = shape_for(count, n);
  shape.blocks = std::min(shape.blocks, check_blocks);
  const auto kernel =
      aligned_for(n, x) ? find_not_finite_kernel<true, T> : find_not_finite_kernel<false, T>;
  launch("all_finite", kernel, shape, stream, count, x, flag);
  require_cuda(cudaMemcpyAsync(&found, flag, sizeof found, cudaMemcpyDeviceToHost, cuda_stream),
               "all_finite");
  require_cuda(cudaStreamSynchronize(cuda_stream), "all_finite");
  return found == 0;
}

}  // namespace

template <>
void relu_forward<Device::cuda>(std::int64_t count, const float* x, float* y, Stream stream) {
  map("relu_forward", count, x, y, Rectify(), stream);
}
template <>
void relu_forward<Device::cuda>(std::int64_t count, const bfloat16* x, bfloat16* y, Stream stream) {
  map("relu_forward", count, x, y, Rectify(), stream);
}

template <>
void relu_backward<Device::cuda>(std::int64_t count, const float* x, const float* dy, float* dx,
                                 bool accumulate, Stream stream) {
  masked(count, x, dy, dx, accumulate, stream);
}
template <>
void relu_backward<Device::cuda>(std::int64_t count, const bfloat16* x, const bfloat16* dy,
                                 bfloat16* dx, bool accumulate, Stream stream) {
  masked(count, x, dy, dx, accumulate, stream);
}

template <>
void add<Device::cuda>(std::int64_t count, const float* a, const float* b, float* y,
                       Stream stream) {
  map("add", count, a, b, y, Add(), stream);
}
template <>
void add<Device::cuda>(std::int64_t count, const bfloat16* a, const bfloat16* b, bfloat16* y,
                       Stream stream) {
  map("add", count, a, b, y, Add(), stream);
}

template <>
void add<Device::cuda>(std::int64_t count, const double* a, const double* b, double* y,
                       Stream stream) {
  launch("add", add_doubles_kernel, {blocks_for(count, threads), threads}, stream, count, a, b, y);
}

template <>
void fill<Device::cuda>(std::int64_t count, float value, float* y, Stream stream) {
  map<float>("fill", count, nullptr, y, Fill{value}, stream);
}

template <>
void increment<Device::cuda>(int count, std::uint32_t* counters, Stream stream) {
  launch("increment", increment_kernel, {blocks_for(count, threads), threads}, stream, count,
         counters);
}

template <>
void set_counter<Device::cuda>(std::uint32_t value, std::uint32_t* counter, Stream stream) {
  launch("set_counter", set_counter_kernel, {1, 1}, stream, value, counter);
}

template <>
bool all_finite<Device::cuda>(std::int64_t count, const float* x, Stream stream) {
  return finite(count, x, stream);
}
template <>
bool all_finite<Device::cuda>(std::int64_t count, const bfloat16* x, Stream stream) {
  return finite(count, x, stream);
}

template <>
void cast<Device::cuda>(std::int64_t count, const float* from, bfloat16* to, Stream stream) {
  map("cast", count, from, to, Keep(), stream);
}
template <>
void cast<Device::cuda>(std::int64_t count, const bfloat16* from, float* to, Stream stream) {
  map("cast", count, from, to, Keep(), stream);
}

}  // namespace drnas::kernels
