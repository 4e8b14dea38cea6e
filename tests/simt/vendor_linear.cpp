// SPDX-License-Identifier: MIT
// Linear layers on the host executor: the CPU twins stand in for cuBLAS's products; the kernels
// beside them run as they are.
#include "kernels/core/launch.h"
#include "kernels/layers/linear.h"
#include "kernels/layers/linear_bias.h"

namespace drnas::kernels {
namespace {

/// `work` writes `out`, of a product of the layer's three matrices.
template <class Work>
void enqueue(const Linear& p, Stream stream, const float* out, Work work) {
  const auto noted = [p, out, work = std::move(work)] {
    simt::check::written_to_end(out);
    const std::int64_t n = p.n, in = p.in, size = sizeof(float);
    simt::check::vendor_call("cuBLAS linear", (n * in + in * p.out) * size, n * p.out * size,
                             n * in * p.out);
    work();
  };
  require_cuda(simt::enqueue(static_cast<cudaStream_t>(stream), noted), "linear");
  after_call("linear", stream);
}

}  // namespace

template <>
void linear_forward<Device::cuda>(const Linear& p, const float* x, const float* w, const float* b,
                                  float* y, Stream stream) {
  enqueue(p, stream, y, [=] { linear_forward<Device::cpu>(p, x, w, nullptr, y, nullptr); });
  if (b) linear_add_bias(p, b, y, stream);
}

template <>
void linear_backward_data<Device::cuda>(const Linear& p, const float* dy, const float* w, float* dx,
                                        bool accumulate, Stream stream) {
  enqueue(p, stream, dx,
          [=] { linear_backward_data<Device::cpu>(p, dy, w, dx, accumulate, nullptr); });
}

template <>
void linear_backward_weight<Device::cuda>(const Linear& p, const float* x, const float* dy,
                                          float* dw, float* db, Stream stream) {
  enqueue(p, stream, dw,
          [=] { linear_backward_weight<Device::cpu>(p, x, dy, dw, nullptr, nullptr); });
  if (db) linear_bias_gradient(p, dy, db, stream);
}

}  // namespace drnas::kernels
