// SPDX-License-Identifier: MIT
#include "engine/gpu.h"

#ifdef DRNAS_WITH_CUDA
#include "kernels/core/launch.h"
#include "kernels/layers/vendor_conv2d.h"
#endif

#include "engine/memory/allocator.h"

namespace drnas {
namespace {

#ifdef DRNAS_WITH_CUDA
constexpr int least_major = 8;

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

int attribute(cudaDeviceAttr which) {
  int value = 0;
  return cudaDeviceGetAttribute(&value, which, 0) == cudaSuccess ? value : 0;
}

int driver_version() {
  int version = 0;
  return cudaDriverGetVersion(&version) == cudaSuccess ? version : 0;
}

std::string capability() {
  return std::to_string(attribute(cudaDevAttrComputeCapabilityMajor)) + "." +
         std::to_string(attribute(cudaDevAttrComputeCapabilityMinor));
}
#endif

}  // namespace

std::string cuda_problem() {
#ifdef DRNAS_WITH_CUDA
  int devices = 0, runtime = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  const int driver = driver_version();
  cudaRuntimeGetVersion(&runtime);
  if (driver == 0) return "no NVIDIA driver found";
  if (status == cudaErrorInsufficientDriver)
    return "the driver supports CUDA " + version_text(driver) + ", expected " +
           version_text(runtime) + " or newer";
  if (status == cudaErrorNoDevice || (status == cudaSuccess && devices == 0))
    return "no NVIDIA GPU found";
  if (status != cudaSuccess) return cudaGetErrorString(status);
  if (attribute(cudaDevAttrComputeCapabilityMajor) < least_major)
    return "the GPU has compute capability " + capability() + ", expected " +
           std::to_string(least_major) + ".0 or newer";
  return {};
#else
  return "this build has no CUDA";
#endif
}

std::string describe_gpu() {
  std::string problem = cuda_problem();
  if (!problem.empty()) return problem;
#ifdef DRNAS_WITH_CUDA
  cudaDeviceProp properties{};
  if (cudaGetDeviceProperties(&properties, 0) != cudaSuccess) return "an unknown GPU";
  return std::string(properties.name) + ", compute capability " + capability() + ", " +
         format_bytes(static_cast<std::int64_t>(properties.totalGlobalMem)) + ", driver " +
         version_text(driver_version());
#else
  return problem;
#endif
}

bool has_vendor_libraries() {
#ifdef DRNAS_WITH_CUDA
  return kernels::vendor_convolutions_there();
#else
  return false;
#endif
}

Device choose_device(const std::string& name, std::string& note) {
  note.clear();
  if (name == "cpu") return Device::cpu;
  const std::string problem = cuda_problem();
  if (problem.empty()) return Device::cuda;
  if (name == "cuda") throw Error("--device cuda: " + problem);
  note = "running on the CPU: " + problem;
  return Device::cpu;
}

}  // namespace drnas
