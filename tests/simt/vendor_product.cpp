// SPDX-License-Identifier: MIT
// Batched products on the host executor: plain loops stand in for cuBLAS.
#include "kernels/layers/vendor_product.h"
#include "kernels/core/launch.h"
#include "vendor_conv2d.h"

namespace drnas::kernels {
namespace {

float element(const BatchedOperand& operand, int matrix, int row, int column) {
  if (operand.transposed) std::swap(row, column);
  return operand
      .data[matrix * operand.batch_stride + std::int64_t{row} * operand.row_stride + column];
}

void multiply(const BatchedProduct& p) {
  const auto count = [&](std::int64_t a, std::int64_t b) { return p.batch * a * b; };
  const std::int64_t out = count(p.rows, p.columns), size = sizeof(float);
  const std::int64_t read = count(p.rows, p.depth) + count(p.depth, p.columns);
  simt::check::vendor_call("cuBLAS batched product", (read + (p.accumulate ? out : 0)) * size,
                           out * size, out * p.depth);
  for (int i = 0; i < p.batch; ++i) {
    simt::check::written(p.out + i * p.out_stride,
                         sizeof(float) * static_cast<std::size_t>(p.rows) * p.columns);
    for (int row = 0; row < p.rows; ++row)
      for (int column = 0; column < p.columns; ++column) {
        float sum = 0.0f;
        for (int k = 0; k < p.depth; ++k)
          sum += element(p.left, i, row, k) * element(p.right, i, k, column);
        float& out = p.out[i * p.out_stride + std::int64_t{row} * p.columns + column];
        out = p.accumulate ? out + sum : sum;
      }
  }
}

}  // namespace

bool vendor_products_there() { return simt::vendor_convolutions().there; }

void vendor_product(const char* name, const BatchedProduct& p, Stream stream) {
  ++simt::vendor_convolutions().products;
  require_cuda(simt::enqueue(static_cast<cudaStream_t>(stream), [p] { multiply(p); }), name);
  after_call(name, stream);
}

}  // namespace drnas::kernels
