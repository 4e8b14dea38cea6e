// SPDX-License-Identifier: MIT
// Linear layers through cuBLAS, in true float32.
#include "kernels/layers/linear.h"

#include "kernels/layers/cublas_library.h"
#include "kernels/layers/linear_bias.h"

namespace drnas::kernels {
namespace {

struct Operand {
  const float* data;
  int stride;  ///< elements from one row of the row-major matrix to the next
  cublasOperation_t operation;
};

/// c = a b + beta c in cuBLAS's order: c rows x columns, a rows x inner, b inner x columns.
void multiply(const char* name, const Linear& p, int rows, int columns, int inner, Operand a,
              Operand b, float beta, float* c, Stream stream) {
  const auto describe = [&] {
    return std::string(name) + " [" + std::to_string(p.n) + ", " + std::to_string(p.in) + "] x [" +
           std::to_string(p.out) + ", " + std::to_string(p.in) + "]";
  };
  const float one = 1.0f;
  CublasLibrary::get().run(
      cublas_float32, stream, describe, [&](const CublasFunctions& cublas, cublasHandle_t handle) {
        return cublas.multiply(handle, a.operation, b.operation, rows, columns, inner, &one, a.data,
                               a.stride, b.data, b.stride, &beta, c, rows);
      });
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
