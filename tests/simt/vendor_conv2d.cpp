// SPDX-License-Identifier: MIT
// Stands in for the convolutions of the vendor's library: the CPU twin, run where the stream is.
#include <cuda_runtime.h>

#include <cstdint>
#include <vector>

#include "kernels/conv2d.h"

namespace drnas::kernels {
namespace {

constexpr std::size_t alignment = 256;

/// Calls body(workspace) of the CPU twin when the stream comes to it.
template <class Body>
void enqueue(const Conv2d& p, ConvPass pass, Stream stream, const Body& body) {
  simt::enqueue(static_cast<cudaStream_t>(stream), [p, pass, body] {
    std::vector<unsigned char> memory(conv2d_workspace<Device::cpu>(p, pass) + alignment);
    const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    body(memory.data() + (alignment - address % alignment) % alignment);
  });
}

}  // namespace

template <>
std::size_t conv2d_workspace<Device::cuda>(const Conv2d&, ConvPass) {
  return 0;
}

template <>
void conv2d_forward<Device::cuda>(const Conv2d& p, const float* x, const float* w, float* y, void*,
                                  Stream stream) {
  enqueue(p, ConvPass::forward, stream,
          [=](void* memory) { conv2d_forward<Device::cpu>(p, x, w, y, memory, nullptr); });
}

template <>
void conv2d_backward_data<Device::cuda>(const Conv2d& p, const float* dy, const float* w, float* dx,
                                        void*, Stream stream) {
  enqueue(p, ConvPass::backward_data, stream,
          [=](void* memory) { conv2d_backward_data<Device::cpu>(p, dy, w, dx, memory, nullptr); });
}

template <>
void conv2d_backward_weight<Device::cuda>(const Conv2d& p, const float* x, const float* dy,
                                          float* dw, void*, Stream stream) {
  enqueue(p, ConvPass::backward_weight, stream, [=](void* memory) {
    conv2d_backward_weight<Device::cpu>(p, x, dy, dw, memory, nullptr);
  });
}

}  // namespace drnas::kernels
