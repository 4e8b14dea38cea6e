// SPDX-License-Identifier: MIT
// One thread four neighbours (one access where all arrays are aligned for it).
#include "kernels/pointwise.h"

#include <algorithm>
#include <cstring>

#include "kernels/cuda_vector.h"

namespace drnas::kernels {
namespace {

constexpr int threads = 256, per_thread = 4;
constexpr std::int64_t check_blocks = 1024;  // all_finite: enough for any GPU, threads loop

/// The neighbours from `at` on, of `count` elements in all.
struct Run {
  std::int64_t at, count;

  __device__ bool whole() const { return at + per_thread <= count; }
  template <bool aligned, class T>
  __device__ void load(const T* from, float (&to)[per_thread]) const {
    if (aligned && whole()) return load_vector(from + at, to);
    for (int k = 0; k < per_thread; ++k)
      to[k] = at + k < count ? static_cast<float>(from[at + k]) : 0.0f;
  }
  template <bool aligned, class T>
  __device__ void store(T* to, const float (&from)[per_thread]) const {
    if (aligned && whole()) return store_vector(to + at, from);
    for (int k = 0; k < per_thread; ++k)
      if (at + k < count) to[at + k] = static_cast<T>(from[k]);
  }
};

__device__ inline Run this_run(std::int64_t count) { return {per_thread * global_thread(), count}; }

/// y = f(a, b) element by element; b may be null. y may be a or b.
template <bool aligned, class T, class F>
__global__ void __launch_bounds__(threads)
    map_kernel(std::int64_t count, const T* a, const T* b, T* y, F f) {
  const Run run = this_run(count);
  if (run.at >= count) return;
  float first[per_thread] = {}, second[per_thread] = {};
  if (a) run.template load<aligned>(a, first);
  if (b) run.template load<aligned>(b, second);
  for (int k = 0; k < per_thread; ++k) first[k] = f(first[k], second[k]);
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
/// dx = dy where x > 0, of (x, dy).
struct Mask {
  __device__ float operator()(float x, float dy) const { return x > 0.0f ? dy : 0.0f; }
};

/// dx += dy where x > 0.
template <bool aligned, class T>
__global__ void __launch_bounds__(threads)
    add_masked_kernel(std::int64_t count, const T* x, const T* dy, T* dx) {
  const Run run = this_run(count);
  if (run.at >= count) return;
  float in[per_thread], d[per_thread], sum[per_thread];
  run.template load<aligned>(x, in);
  run.template load<aligned>(dy, d);
  run.template load<aligned>(dx, sum);
  for (int k = 0; k < per_thread; ++k) sum[k] += Mask()(in[k], d[k]);
  run.template store<aligned>(dx, sum);
}

__global__ void __launch_bounds__(threads) increment_kernel(int count, std::uint32_t* counters) {
  const std::int64_t i = global_thread();
  if (i < count) ++counters[i];
}

/// Sets `found` where a value's exponent has all bits. Everybody writes the same.
template <bool aligned>
__global__ void __launch_bounds__(threads)
    find_not_finite_kernel(std::int64_t count, const float* x, int* found) {
  constexpr std::uint32_t exponent = 0x7f800000u;
  bool bad = false;
  Run run = this_run(count);
  for (; run.at < count; run.at += std::int64_t{per_thread} * gridDim.x * blockDim.x) {
    float values[per_thread];
    run.template load<aligned>(x, values);
    for (int k = 0; k < per_thread; ++k) {
      std::uint32_t bits;
      memcpy(&bits, &values[k], sizeof bits);
      bad = bad || (bits & exponent) == exponent;
    }
  }
  if (bad) *found = 1;
}

LaunchShape shape_for(std::int64_t count) {
  return {blocks_for(count, std::int64_t{threads} * per_thread), threads};
}

template <class F>
void map(const char* name, std::int64_t count, const float* a, const float* b, float* y, const F& f,
         Stream stream) {
  const auto kernel =
      aligned_for(4, a, b, y) ? map_kernel<true, float, F> : map_kernel<false, float, F>;
  launch(name, kernel, shape_for(count), stream, count, a, b, y, f);
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

}  // namespace

template <>
void relu_forward<Device::cuda>(std::int64_t count, const float* x, float* y, Stream stream) {
  map("relu_forward", count, x, nullptr, y, Rectify(), stream);
}

template <>
void relu_backward<Device::cuda>(std::int64_t count, const float* x, const float* dy, float* dx,
                                 bool accumulate, Stream stream) {
  if (!accumulate) return map("relu_backward", count, x, dy, dx, Mask(), stream);
  const auto kernel =
      aligned_for(4, x, dy, dx) ? add_masked_kernel<true, float> : add_masked_kernel<false, float>;
  launch("relu_backward", kernel, shape_for(count), stream, count, x, dy, dx);
}

template <>
void add<Device::cuda>(std::int64_t count, const float* a, const float* b, float* y,
                       Stream stream) {
  map("add", count, a, b, y, Add(), stream);
}

template <>
void fill<Device::cuda>(std::int64_t count, float value, float* y, Stream stream) {
  map("fill", count, nullptr, nullptr, y, Fill{value}, stream);
}

template <>
void increment<Device::cuda>(int count, std::uint32_t* counters, Stream stream) {
  launch("increment", increment_kernel, {blocks_for(count, threads), threads}, stream, count,
         counters);
}

template <>
bool all_finite<Device::cuda>(std::int64_t count, const float* x, Stream stream) {
  const auto cuda_stream = static_cast<cudaStream_t>(stream);
  int found = 0, *flag = finite_flag();
  require_cuda(cudaMemsetAsync(flag, 0, sizeof found, cuda_stream), "all_finite");
  LaunchShape shape = shape_for(count);
  shape.blocks = std::min(shape.blocks, check_blocks);
  const auto kernel =
      aligned_for(4, x) ? find_not_finite_kernel<true> : find_not_finite_kernel<false>;
  launch("all_finite", kernel, shape, stream, count, x, flag);
  require_cuda(cudaMemcpyAsync(&found, flag, sizeof found, cudaMemcpyDeviceToHost, cuda_stream),
               "all_finite");
  require_cuda(cudaStreamSynchronize(cuda_stream), "all_finite");
  return found == 0;
}

}  // namespace drnas::kernels
