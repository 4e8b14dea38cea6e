// SPDX-License-Identifier: MIT
// How .cu files start kernels. The same sources build with nvcc, and with the host compiler against
// the stand-in of tests/simt, which runs them thread by thread.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "kernels/core/device.h"
#include "kernels/core/named_range.h"
#include "kernels/core/shared_bytes.h"

namespace drnas::kernels {

/// Blocks (x, y), threads a block, and bytes of shared memory.
struct LaunchShape {
  std::int64_t blocks = 1;
  unsigned threads = 1;
  std::size_t shared_bytes = 0;
  unsigned rows = 1;  ///< second extent of the grid
};

inline constexpr unsigned warp_lanes = 32;
inline constexpr unsigned full_warp = 0xffffffffu;

/// Blocks that cover `count` items, `per_block` each.
inline constexpr std::int64_t blocks_for(std::int64_t count, std::int64_t per_block) {
  return (count + per_block - 1) / per_block;
}

/// Throws Error that names `what` where a CUDA call failed.
inline void require_cuda(cudaError_t status, const char* what) {
  if (status != cudaSuccess)
    throw Error(std::string("CUDA: ") + what + ": " + cudaGetErrorString(status));
}

/// Does DRNAS_SYNC ask to wait after every launch and vendor call? A fault inside a kernel, which
/// else a later call reports, is then an error in its own name. Nothing is recorded meanwhile.
inline bool asks_to_wait(const char* variable) {
  const std::string_view value = variable == nullptr ? "" : variable;
  return !value.empty() && value != "0";
}
inline bool& waits_after_calls() {
  static bool waits = asks_to_wait(std::getenv("DRNAS_SYNC"));
  return waits;
}

/// Waits for what was just started, where that is asked for. Throws Error named `name`.
inline void after_call(const char* name, Stream stream) {
  if (!waits_after_calls()) return;
  const auto on = static_cast<cudaStream_t>(stream);
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  require_cuda(cudaStreamIsCapturing(on, &status), name);
  if (status == cudaStreamCaptureStatusNone) require_cuda(cudaStreamSynchronize(on), name);
}

/// Starts `kernel` on the stream; an empty grid starts nothing. Throws Error named `name`.
template <class... Params, class... Args>
void launch(const char* name, void (*kernel)(Params...), const LaunchShape& shape, Stream stream,
            Args&&... args) {
  if (shape.blocks <= 0 || shape.rows == 0) return;
  if (shape.blocks > INT32_MAX)
    throw Error(std::string(name) + ": " + std::to_string(shape.blocks) +
                " blocks, expected fewer than 2^31");
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(shape.blocks), shape.rows);
  config.blockDim = dim3(shape.threads);
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = static_cast<cudaStream_t>(stream);
  const NamedRange range(name);
  // Always the most: a smaller limit would hold for launches that are recorded already.
  if (shape.shared_bytes > common_shared_bytes)
    require_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                      static_cast<int>(most_shared_bytes)),
                 name);
  require_cuda(
      cudaLaunchKernelEx(&config, kernel, static_cast<Params>(std::forward<Args>(args))...), name);
  after_call(name, stream);
}

#ifdef __CUDACC__
/// The block's shared memory: LaunchShape::shared_bytes, aligned for 16-byte accesses. The only way
/// kernels take shared memory, so that its bounds and its initial contents can be checked.
__device__ inline void* shared_memory() {
  extern __shared__ __align__(16) unsigned char drnas_shared_memory[];
  return drnas_shared_memory;
}
#elif defined(DRNAS_SIMT)
inline void* shared_memory() { return simt::shared_memory(); }
#endif

#if defined(__CUDACC__) || defined(DRNAS_SIMT)
/// Index of this thread in the whole one-dimensional grid.
__device__ inline std::int64_t global_thread() {
  return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
#endif

}  // namespace drnas::kernels
