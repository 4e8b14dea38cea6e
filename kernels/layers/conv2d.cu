// SPDX-License-Identifier: MIT
// Convolutions of images directly, others by tiles of our own or by the vendor's library.
#include "kernels/layers/conv2d.h"

#include <type_traits>

#include "kernels/core/parallel.h"
#include "kernels/layers/direct_conv.h"
#include "kernels/layers/tile_conv.h"
#include "kernels/layers/vendor_conv2d.h"
#include "kernels/train/elementwise.h"

namespace drnas::kernels {
namespace {

template <class T>
ConvRequest request_of(const Conv2d& p, ConvPass pass) {
  if (!std::is_same_v<T, float>) return {p, pass, ConvNumbers::bf16};
  return {p, pass, conv_math() == ConvMath::tf32 ? ConvNumbers::tf32 : ConvNumbers::fp32};
}

enum class Way { direct, tiles, vendor };

template <class T>
Way way_of(const Conv2d& p, ConvPass pass) {
  if (std::is_same_v<T, float> && direct_conv_takes(p, pass)) return Way::direct;
  if (!wants_tiles()) return Way::vendor;
  if (tile_conv_takes<T>(p, pass)) return Way::tiles;
  if (conv_source() == ConvSource::automatic && vendor_convolutions_there()) return Way::vendor;
  throw Error(describe(request_of<T>(p, pass)) +
              ": too large for tiles of our own, expected fewer pixels or a smaller kernel");
}

/// Of a gradient of weights that the library leaves in bfloat16, before its own scratch.
std::size_t rounded_bytes(const Conv2d& p) {
  return static_cast<std::size_t>(
      round_up(p.weight_count() * static_cast<std::int64_t>(sizeof(bfloat16)), 256));
}

template <class T>
std::size_t workspace_of(const Conv2d& p, ConvPass pass) {
  switch (way_of<T>(p, pass)) {
    case Way::direct:
      return direct_conv_workspace(p, pass);
    case Way::tiles:
      return tile_conv_workspace<T>(p, pass);
    case Way::vendor:
      break;
  }
  const bool rounds = !std::is_same_v<T, float> && pass == ConvPass::backward_weight;
  return vendor_conv2d_workspace(request_of<T>(p, pass)) + (rounds ? rounded_bytes(p) : 0);
}

template <class T>
void forward(const Conv2d& p, const T* x, const T* w, T* y, void* workspace, Stream stream) {
  const Way way = way_of<T>(p, ConvPass::forward);
  if constexpr (std::is_same_v<T, float>)
    if (way == Way::direct) return direct_conv_forward(p, x, w, y, stream);
  if (way == Way::tiles) return tile_conv_forward(p, x, w, y, stream);
  vendor_conv2d(request_of<T>(p, ConvPass::forward), x, w, y, workspace, stream);
}

template <class T>
void backward_data(const Conv2d& p, const T* dy, const T* w, T* dx, void* workspace,
                   Stream stream) {
  if (way_of<T>(p, ConvPass::backward_data) == Way::tiles)
    return tile_conv_backward_data(p, dy, w, dx, stream);
  vendor_conv2d(request_of<T>(p, ConvPass::backward_data), w, dy, dx, workspace, stream);
}

template <class T>
void backward_weight(const Conv2d& p, const T* x, const T* dy, float* dw, void* workspace,
                     Stream stream) {
  const Way way = way_of<T>(p, ConvPass::backward_weight);
  const ConvRequest request = request_of<T>(p, ConvPass::backward_weight);
  if (way == Way::tiles) return tile_conv_backward_weight(p, x, dy, dw, workspace, stream);
  if constexpr (std::is_same_v<T, float>) {
    if (way == Way::direct) return direct_conv_backward_weight(p, x, dy, dw, workspace, stream);
    vendor_conv2d(request, x, dy, dw, workspace, stream);
  } else {
    auto* rounded = static_cast<bfloat16*>(workspace);
    vendor_conv2d(request, x, dy, rounded, static_cast<std::byte*>(workspace) + rounded_bytes(p),
                  stream);
    cast<Device::cuda>(p.weight_count(), rounded, dw, stream);
  }
}

}  // namespace

template <>
std::size_t conv2d_workspace<Device::cuda>(const Conv2d& p, ConvPass pass) {
  return workspace_of<float>(p, pass);
}
template <>
void conv2d_forward<Device::cuda>(const Conv2d& p, const float* x, const float* w, float* y,
                                  void* workspace, Stream stream) {
  forward(p, x, w, y, workspace, stream);
}
template <>
void conv2d_backward_data<Device::cuda>(const Conv2d& p, const float* dy, const float* w, float* dx,
                                        void* workspace, Stream stream) {
  backward_data(p, dy, w, dx, workspace, stream);
}
template <>
void conv2d_backward_weight<Device::cuda>(const Conv2d& p, const float* x, const float* dy,
                                          float* dw, void* workspace, Stream stream) {
  backward_weight(p, x, dy, dw, workspace, stream);
}

std::size_t conv2d_workspace_bfloat16(const Conv2d& p, ConvPass pass) {
  return workspace_of<bfloat16>(p, pass);
}
void conv2d_forward(const Conv2d& p, const bfloat16* x, const bfloat16* w, bfloat16* y,
                    void* workspace, Stream stream) {
  forward(p, x, w, y, workspace, stream);
}
void conv2d_backward_data(const Conv2d& p, const bfloat16* dy, const bfloat16* w, bfloat16* dx,
                          void* workspace, Stream stream) {
  backward_data(p, dy, w, dx, workspace, stream);
}
void conv2d_backward_weight(const Conv2d& p, const bfloat16* x, const bfloat16* dy, float* dw,
                            void* workspace, Stream stream) {
  backward_weight(p, x, dy, dw, workspace, stream);
}

}  // namespace drnas::kernels
