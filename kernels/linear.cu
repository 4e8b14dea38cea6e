// SPDX-License-Identifier: MIT
// Linear layers through cuBLAS, in true float32. cuBLAS counts columns first: to it a row-major
// [rows, columns] is a columns x rows matrix, so that products are asked for transposed.
#include "kernels/linear.h"

#include <cublas_v2.h>

#include <mutex>
#include <string>

#include "kernels/launch.h"
#include "kernels/linear_bias.h"

namespace drnas::kernels {
namespace {

void require(cublasStatus_t status, const std::string& what) {
  if (status != CUBLAS_STATUS_SUCCESS) throw Error(what + ": " + cublasGetStatusString(status));
}

/// The process's cuBLAS handle, for one caller and one stream at a time, made by the first call:
/// that must not lie in a capture. Its workspace is allocated here, once: cuBLAS's own would grow
/// with every captured graph.
struct Library {
  static constexpr std::size_t workspace_bytes = std::size_t{1} << 20;
  std::mutex mutex;
  cublasHandle_t handle = nullptr;
  void* workspace = nullptr;

  Library() {
    require_cuda(cudaMalloc(&workspace, workspace_bytes), "linear: allocate cuBLAS's workspace");
    require(cublasCreate(&handle), "linear: cannot start cuBLAS");
    // Neither TF32 nor emulated float32, whatever the environment says.
    require(cublasSetMathMode(handle, CUBLAS_PEDANTIC_MATH), "linear: cublasSetMathMode");
    require(cublasSetAtomicsMode(handle, CUBLAS_ATOMICS_NOT_ALLOWED),
            "linear: cublasSetAtomicsMode");
  }
};

/// Never destroyed: when the process ends, the CUDA runtime may be gone before static objects are.
Library& library() {
  static Library& shared = *new Library;
  return shared;
}

struct Operand {
  const float* data;
  int stride;  ///< elements from one row of the row-major matrix to the next
  cublasOperation_t operation;
};

/// c = a b + beta c in cuBLAS's order: c rows x columns, a rows x inner, b inner x columns.
void multiply(const char* name, const Linear& p, int rows, int columns, int inner, Operand a,
              Operand b, float beta, float* c, Stream stream) {
  Library& cublas = library();
  const std::lock_guard lock(cublas.mutex);
  const auto what = [&](const char* call) {
    return std::string(name) + " [" + std::to_string(p.n) + ", " + std::to_string(p.in) + "] x [" +
           std::to_string(p.out) + ", " + std::to_string(p.in) + "]: " + call;
  };
  require(cublasSetStream(cublas.handle, static_cast<cudaStream_t>(stream)),
          what("cublasSetStream"));
  // cublasSetStream goes back to the workspace of cuBLAS.
  require(cublasSetWorkspace(cublas.handle, cublas.workspace, Library::workspace_bytes),
          what("cublasSetWorkspace"));
  const float one = 1.0f;
  require(cublasSgemm(cublas.handle, a.operation, b.operation, rows, columns, inner, &one, a.data,
                      a.stride, b.data, b.stride, &beta, c, rows),
          what("cublasSgemm"));
}

}  // namespace

template <>
void linear_forward<Device::cuda>(const Linear& p, const float* x, const float* w, const float* b,
                                  float* y, Stream stream) {
  // y^T [out x n] = W x^T
  multiply("linear_forward", p, p.out, p.n, p.in, {w, p.in, CUBLAS_OP_T}, {x, p.in, CUBLAS_OP_N},
           0.0f, y, stream);
  if (b) linear_add_bias(p, b, y, stream);
}

template <>
void linear_backward_data<Device::cuda>(const Linear& p, const float* dy, const float* w, float* dx,
                                        bool accumulate, Stream stream) {
  // dx^T [in x n] = W^T dy^T
  multiply("linear_backward_data", p, p.in, p.n, p.out, {w, p.in, CUBLAS_OP_N},
           {dy, p.out, CUBLAS_OP_N}, accumulate ? 1.0f : 0.0f, dx, stream);
}

template <>
void linear_backward_weight<Device::cuda>(const Linear& p, const float* x, const float* dy,
                                          float* dw, float* db, Stream stream) {
  // dW^T [in x out] = x^T dy
  multiply("linear_backward_weight", p, p.in, p.out, p.n, {x, p.in, CUBLAS_OP_N},
           {dy, p.out, CUBLAS_OP_T}, 0.0f, dw, stream);
  if (db) linear_bias_gradient(p, dy, db, stream);
}

}  // namespace drnas::kernels
