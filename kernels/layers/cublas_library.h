// SPDX-License-Identifier: MIT
// The process's cuBLAS, for the .cu files that multiply with it. cuBLAS counts columns first: to it
// a row-major [rows, columns] is a columns x rows matrix, so that products are asked for
// transposed.
#pragma once

#include <cublas_v2.h>

#include <functional>
#include <mutex>
#include <string>

#include "kernels/core/launch.h"

namespace drnas::kernels {

/// Neither TF32 nor emulated float32, whatever the environment says.
inline constexpr cublasMath_t cublas_float32 = CUBLAS_PEDANTIC_MATH;

/// The functions of cuBLAS that are used here.
struct CublasFunctions {
  decltype(&cublasCreate) create;
  decltype(&cublasGetStatusString) status_text;
  decltype(&cublasSetAtomicsMode) set_atomics_mode;
  decltype(&cublasSetMathMode) set_math_mode;
  decltype(&cublasSetStream) set_stream;
  decltype(&cublasSetWorkspace) set_workspace;
  decltype(&cublasSgemmStridedBatched) multiply_batched;
};

/// The library and its handle, for one caller and one stream at a time, made by the first call:
/// that must not lie in a capture. The library is opened then and not linked, since its relocations
/// take 0.15 s and 200 MiB of every process, also of one that computes on the CPU. Its workspace is
/// allocated here, once: cuBLAS's own would grow with every captured graph.
class CublasLibrary {
 public:
  /// Can the library be opened?
  static bool there();
  /// Throws Error where cuBLAS is missing or does not start. Never destroyed: when the process
  /// ends, the CUDA runtime may be gone before static objects are.
  static CublasLibrary& get();

  /// Calls body(functions, handle), which returns cuBLAS's status, for products in `math` on the
  /// stream; describe() names the product where that fails.
  void run(cublasMath_t math, Stream stream, const std::function<std::string()>& describe,
           const std::function<cublasStatus_t(const CublasFunctions&, cublasHandle_t)>& body);

 private:
  CublasLibrary();
  void require(cublasStatus_t status, const std::string& what) const;

  CublasFunctions functions_;
  std::mutex mutex_;
  cublasHandle_t handle_ = nullptr;
  void* workspace_ = nullptr;
};

}  // namespace drnas::kernels
