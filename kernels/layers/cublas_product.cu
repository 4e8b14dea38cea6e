// SPDX-License-Identifier: MIT
#include "kernels/layers/vendor_product.h"

#include "kernels/layers/conv2d.h"
#include "kernels/layers/cublas_library.h"

namespace drnas::kernels {

bool vendor_products_there() { return CublasLibrary::there(); }

void vendor_product(const char* name, const BatchedProduct& p, Stream stream) {
  const auto describe = [&] {
    return std::string(name) + ", " + std::to_string(p.batch) + " x [" + std::to_string(p.rows) +
           ", " + std::to_string(p.depth) + "] [" + std::to_string(p.depth) + ", " +
           std::to_string(p.columns) + "]";
  };
  const auto operation = [](const BatchedOperand& operand) {
    return operand.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  };
  const float one = 1.0f, beta = p.accumulate ? 1.0f : 0.0f;
  const cublasMath_t math =
      !p.exact && conv_math() == ConvMath::tf32 ? CUBLAS_TF32_TENSOR_OP_MATH : cublas_float32;
  // out^T [columns x rows] = right^T left^T
  const auto multiply = [&](const CublasFunctions& cublas, cublasHandle_t handle) {
    return cublas.multiply_batched(
        handle, operation(p.right), operation(p.left), p.columns, p.rows, p.depth, &one,
        p.right.data, p.right.row_stride, p.right.batch_stride, p.left.data, p.left.row_stride,
        p.left.batch_stride, &beta, p.out, p.columns, p.out_stride, p.batch);
  };
  CublasLibrary::get().run(math, stream, describe, multiply);
}

}  // namespace drnas::kernels
