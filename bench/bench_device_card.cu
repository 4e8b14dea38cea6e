// SPDX-License-Identifier: MIT
#include "bench/bench_device.h"
#include "kernels/layers/linear.h"

namespace drnas::bench {
namespace {

using kernels::launch;
using nlohmann::ordered_json;

constexpr std::size_t copy_bytes = std::size_t{256} << 20;
constexpr int copy_calls = 8, copy_rounds = 9;

__global__ void copy_kernel(const float4* from, float4* to, std::int64_t count) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = kernels::global_thread(); i < count; i += stride) to[i] = from[i];
}

__global__ void empty_kernel() {}

int attribute(cudaDeviceAttr which) {
  int value = 0;
  require_cuda(cudaDeviceGetAttribute(&value, which, 0), "ask for an attribute of the card");
  return value;
}

/// GB/s, reads and writes together.
double copy_rate(double milliseconds) {
  return 2.0 * static_cast<double>(copy_bytes) / milliseconds / 1e6;
}

ordered_json measure_copies(const DeviceTimer& timer) {
  const DeviceArray<unsigned char> from(copy_bytes), to(copy_bytes);
  require_cuda(cudaMemset(from.data(), 1, copy_bytes), "fill");
  const auto stream = static_cast<cudaStream_t>(timer.stream());
  const double by_runtime = timer.milliseconds(copy_calls, copy_rounds, [&](int) {
    require_cuda(
        cudaMemcpyAsync(to.data(), from.data(), copy_bytes, cudaMemcpyDeviceToDevice, stream),
        "copy");
  });
  const std::int64_t count = copy_bytes / sizeof(float4);
  const kernels::LaunchShape shape{std::int64_t{8} * attribute(cudaDevAttrMultiProcessorCount),
                                   256};
  const double by_kernel = timer.milliseconds(copy_calls, copy_rounds, [&](int) {
    launch("copy_kernel", copy_kernel, shape, timer.stream(),
           reinterpret_cast<const float4*>(from.data()), reinterpret_cast<float4*>(to.data()),
           count);
  });
  return {{"bytes", copy_bytes},
          {"memcpy_gb_per_s", copy_rate(by_runtime)},
          {"kernel_gb_per_s", copy_rate(by_kernel)},
          {"best_gb_per_s", std::max(copy_rate(by_runtime), copy_rate(by_kernel))}};
}

ordered_json measure_matrices(const DeviceTimer& timer) {
  constexpr int side = 4096, calls = 4, rounds = 5;
  constexpr std::size_t count = std::size_t{side} * side;
  const DeviceArray<float> x(count), w(count), y(count);
  for (const auto* array : {&x, &w})
    require_cuda(cudaMemset(array->data(), 0x3c, array->bytes()), "fill");  // about 0.0115
  const kernels::Linear p{side, side, side};
  const double ms = timer.milliseconds(calls, rounds, [&](int) {
    kernels::linear_forward<Device::cuda>(p, x.data(), w.data(), nullptr, y.data(), timer.stream());
  });
  return {{"side", side},
          {"how", "cuBLAS in true float32 through kernels/layers/linear.h, as the engine calls it"},
          {"milliseconds", ms},
          {"tflops_fp32", 2.0 * side * side * static_cast<double>(side) / ms / 1e9}};
}

ordered_json measure_launches(const DeviceTimer& timer) {
  constexpr int nodes = 500, rounds = 21;
  const double ms = timer.milliseconds(nodes, rounds, [&](int) {
    launch("empty_kernel", empty_kernel, {1, 32}, timer.stream());
  });
  return {{"graph_nodes", nodes}, {"microseconds_per_node", 1e3 * ms}};
}

}  // namespace

ordered_json describe_card() {
  cudaDeviceProp properties{};
  require_cuda(cudaGetDeviceProperties(&properties, 0), "describe the card");
  int runtime = 0, driver = 0;
  require_cuda(cudaRuntimeGetVersion(&runtime), "ask for the runtime's version");
  require_cuda(cudaDriverGetVersion(&driver), "ask for the driver's version");
  return {{"name", properties.name},
          {"compute_capability",
           std::to_string(properties.major) + "." + std::to_string(properties.minor)},
          {"multiprocessors", properties.multiProcessorCount},
          {"memory_bytes", properties.totalGlobalMem},
          {"l2_bytes", properties.l2CacheSize},
          {"cuda_runtime", runtime},
          {"cuda_driver", driver}};
}

ordered_json measure_card(const DeviceTimer& timer) {
  return {{"copy", measure_copies(timer)},
          {"matrix", measure_matrices(timer)},
          {"launch", measure_launches(timer)}};
}

}  // namespace drnas::bench
