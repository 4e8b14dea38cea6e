// SPDX-License-Identifier: MIT
// Linear layers as batches of one product, in true float32.
#include "kernels/layers/linear.h"

#include "kernels/layers/batched_product.h"
#include "kernels/layers/linear_bias.h"

namespace drnas::kernels {
namespace {

BatchedOperand matrix(const float* data, int row_stride, bool transposed = false) {
  return {data, row_stride, 0, transposed};
}

/// out [rows, columns] = left right, or added to it.
void multiply(const char* name, int rows, int columns, int depth, const BatchedOperand& left,
              const BatchedOperand& right, float* out, bool accumulate, Stream stream) {
  batched_product(name, {1, rows, columns, depth, left, right, out, 0, accumulate, true}, stream);
}

}  // namespace

template <>
void linear_forward<Device::cuda>(const Linear& p, const float* x, const float* w, const float* b,
                                  float* y, Stream stream) {
  multiply("linear_forward", p.n, p.out, p.in, matrix(x, p.in), matrix(w, p.in, true), y, false,
           stream);
  if (b) linear_add_bias(p, b, y, stream);
}

template <>
void linear_backward_data<Device::cuda>(const Linear& p, const float* dy, const float* w, float* dx,
                                        bool accumulate, Stream stream) {
  multiply("linear_backward_data", p.n, p.in, p.out, matrix(dy, p.out), matrix(w, p.in), dx,
           accumulate, stream);
}

template <>
void linear_backward_weight<Device::cuda>(const Linear& p, const float* x, const float* dy,
                                          float* dw, float* db, Stream stream) {
  multiply("linear_backward_weight", p.out, p.in, p.n, matrix(dy, p.out, true), matrix(x, p.in), dw,
           false, stream);
  if (db) linear_bias_gradient(p, dy, db, stream);
}

}  // namespace drnas::kernels
