// SPDX-License-Identifier: MIT
// The process's cuBLAS handle, for the .cu files that multiply with it. cuBLAS counts columns
// first: to it a row-major [rows, columns] is a columns x rows matrix, so that products are asked
// for transposed.
#pragma once

#include <cublas_v2.h>

#include <mutex>
#include <string>

#include "kernels/core/launch.h"

namespace drnas::kernels {

inline void require_cublas(cublasStatus_t status, const std::string& what) {
  if (status != CUBLAS_STATUS_SUCCESS) throw Error(what + ": " + cublasGetStatusString(status));
}

/// The handle, for one caller and one stream at a time, made by the first call: that must not lie
/// in a capture. Its workspace is allocated here, once: cuBLAS's own would grow with every captured
/// graph.
class CublasLibrary {
 public:
  /// Never destroyed: when the process ends, the CUDA runtime may be gone before static objects
  /// are.
  static CublasLibrary& get() {
    static CublasLibrary& shared = *new CublasLibrary;
    return shared;
  }

  /// Calls body(handle), which returns cuBLAS's status, for products in `math` on the stream;
  /// describe() names the product where that fails.
  template <class Describe, class Body>
  void run(cublasMath_t math, Stream stream, const Describe& describe, const Body& body) {
    const std::lock_guard lock(mutex_);
    const auto require = [&](cublasStatus_t status, const char* call) {
      if (status != CUBLAS_STATUS_SUCCESS) require_cublas(status, describe() + ": " + call);
    };
    require(cublasSetMathMode(handle_, math), "cublasSetMathMode");
    require(cublasSetStream(handle_, static_cast<cudaStream_t>(stream)), "cublasSetStream");
    // cublasSetStream goes back to the workspace of cuBLAS.
    require(cublasSetWorkspace(handle_, workspace_, workspace_bytes), "cublasSetWorkspace");
    require(body(handle_), "cuBLAS's product");
  }

 private:
  static constexpr std::size_t workspace_bytes = std::size_t{1} << 20;

  CublasLibrary() {
    require_cuda(cudaMalloc(&workspace_, workspace_bytes), "allocate cuBLAS's workspace");
    require_cublas(cublasCreate(&handle_), "cannot start cuBLAS");
    require_cublas(cublasSetAtomicsMode(handle_, CUBLAS_ATOMICS_NOT_ALLOWED),
                   "cublasSetAtomicsMode");
  }

  std::mutex mutex_;
  cublasHandle_t handle_ = nullptr;
  void* workspace_ = nullptr;
};

/// Neither TF32 nor emulated float32, whatever the environment says.
inline constexpr cublasMath_t cublas_float32 = CUBLAS_PEDANTIC_MATH;

}  // namespace drnas::kernels
