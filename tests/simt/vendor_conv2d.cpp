// SPDX-License-Identifier: MIT
// Stands in for the convolutions of the vendor's library: the CPU twin, run where the stream is;
// for bfloat16 on widened arrays, its result rounded.
#include <cuda_runtime.h>

#include <cstdint>
#include <vector>

#include "kernels/layers/conv2d.h"

namespace drnas::kernels {
namespace {

constexpr std::size_t alignment = 256;

/// Calls body(workspace) of the CPU twin, which writes `out`, when the stream comes to it.
template <class Body>
void enqueue(const Conv2d& p, ConvPass pass, const void* out, Stream stream, const Body& body) {
  simt::enqueue(static_cast<cudaStream_t>(stream), [p, pass, out, body] {
    simt::check::written_to_end(out);
    std::vector<unsigned char> memory(conv2d_workspace<Device::cpu>(p, pass) + alignment);
    const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    body(memory.data() + (alignment - address % alignment) % alignment);
  });
}

/// An array in bfloat16.
template <class T>
struct Stored {
  T* data;
  std::int64_t count;

  std::vector<float> widened() const { return {data, data + count}; }
};
using Function = void (*)(const Conv2d&, const float*, const float*, float*, void*, Stream);

void enqueue_bfloat16(const Conv2d& p, ConvPass pass, Stored<const bfloat16> a,
                      Stored<const bfloat16> b, Stored<bfloat16> out, Function twin,
                      Stream stream) {
  enqueue(p, pass, out.data, stream, [=](void* memory) {
    std::vector<float> result(out.count);
    twin(p, a.widened().data(), b.widened().data(), result.data(), memory, nullptr);
    for (std::int64_t i = 0; i < out.count; ++i) out.data[i] = bfloat16(result[i]);
  });
}

std::int64_t x_count(const Conv2d& p) { return std::int64_t{p.n} * p.h * p.w * p.c_in; }
std::int64_t y_count(const Conv2d& p) {
  return std::int64_t{p.n} * p.out_h() * p.out_w() * p.c_out;
}

}  // namespace

template <>
std::size_t conv2d_workspace<Device::cuda>(const Conv2d&, ConvPass) {
  return 0;
}

template <>
void conv2d_forward<Device::cuda>(const Conv2d& p, const float* x, const float* w, float* y, void*,
                                  Stream stream) {
  enqueue(p, ConvPass::forward, y, stream,
          [=](void* memory) { conv2d_forward<Device::cpu>(p, x, w, y, memory, nullptr); });
}

template <>
void conv2d_backward_data<Device::cuda>(const Conv2d& p, const float* dy, const float* w, float* dx,
                                        void*, Stream stream) {
  enqueue(p, ConvPass::backward_data, dx, stream,
          [=](void* memory) { conv2d_backward_data<Device::cpu>(p, dy, w, dx, memory, nullptr); });
}

template <>
void conv2d_backward_weight<Device::cuda>(const Conv2d& p, const float* x, const float* dy,
                                          float* dw, void*, Stream stream) {
  enqueue(p, ConvPass::backward_weight, dw, stream, [=](void* memory) {
    conv2d_backward_weight<Device::cpu>(p, x, dy, dw, memory, nullptr);
  });
}

std::size_t conv2d_workspace_bfloat16(const Conv2d&, ConvPass) { return 0; }

void conv2d_forward(const Conv2d& p, const bfloat16* x, const bfloat16* w, bfloat16* y, void*,
                    Stream stream) {
  enqueue_bfloat16(p, ConvPass::forward, {x, x_count(p)}, {w, p.weight_count()}, {y, y_count(p)},
                   conv2d_forward<Device::cpu>, stream);
}

void conv2d_backward_data(const Conv2d& p, const bfloat16* dy, const bfloat16* w, bfloat16* dx,
                          void*, Stream stream) {
  enqueue_bfloat16(p, ConvPass::backward_data, {dy, y_count(p)}, {w, p.weight_count()},
                   {dx, x_count(p)}, conv2d_backward_data<Device::cpu>, stream);
}

void conv2d_backward_weight(const Conv2d& p, const bfloat16* x, const bfloat16* dy, bfloat16* dw,
                            void*, Stream stream) {
  enqueue_bfloat16(p, ConvPass::backward_weight, {x, x_count(p)}, {dy, y_count(p)},
                   {dw, p.weight_count()}, conv2d_backward_weight<Device::cpu>, stream);
}

}  // namespace drnas::kernels
