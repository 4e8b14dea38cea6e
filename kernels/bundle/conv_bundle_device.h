// SPDX-License-Identifier: MIT
// What the CUDA kernels of conv_bundle share: the padded shapes that the convolution library sees,
// vectors of adjacent channels, and the weights' way into and out of their padding.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "kernels/bundle/conv_bundle.h"
#include "kernels/core/channels.h"
#include "kernels/core/launch.h"
#include "kernels/core/unroll.h"
#include "kernels/layers/conv2d.h"

namespace drnas::kernels {

/// A bundle as the convolution library sees it, in T: c and a size's rows rounded up to eight,
/// zeros in the padding.
template <class T>
struct PaddedBundle {
  static constexpr bool stores_float = std::is_same_v<T, float>;

  ConvBundle bundle;
  int c_pad;

  explicit PaddedBundle(const ConvBundle& b)
      : bundle(b), c_pad(static_cast<int>(round_up(b.c, 8))) {
    constexpr std::int64_t limit = std::int64_t{1} << 31;  // kernels count items in 32 bits
    if (b.pixels() * b.x_channels >= limit || b.pixels() * c_pad >= limit)
      throw Error("conv_bundle: " + std::to_string(b.pixels()) + " pixels of " +
                  std::to_string(b.x_channels) + " channels, expected fewer than 2^31 values");
  }
  /// Given weights are packed; otherwise c is a multiple of eight and they are used in place.
  bool packs_weights() const { return bundle.c != c_pad; }
  /// Gradients of weights are unpacked; otherwise the library writes them where they belong.
  bool unpacks_gradients() const { return packs_weights(); }
  /// What the library reads of the given and the packed weights of one size.
  const T* weight(const T* given, const T* packed) const {
    return packs_weights() ? packed : given;
  }
  Conv2d conv(int size) const {
    const int k = bundle.kernel[size];
    return {bundle.n, bundle.h, bundle.w, c_pad, bundle.z_channels(size), k, 1, k / 2};
  }
  std::int64_t u_count() const { return bundle.pixels() * c_pad; }
  std::int64_t z_count(int size) const { return bundle.pixels() * bundle.z_channels(size); }
  /// Weights of one size with their padding; none where they are used in place.
  std::int64_t packed_count(int size) const {
    return packs_weights() ? conv(size).weight_count() : 0;
  }
  /// The same of gradients; none where they are written in place.
  std::int64_t unpacked_count(int size) const {
    return unpacks_gradients() ? conv(size).weight_count() : 0;
  }
  std::int64_t convolution_bytes(ConvPass pass) const {
    std::size_t bytes = 0;
    for (int s = 0; s < bundle.sizes; ++s)
      bytes = std::max(bytes, stores_float ? conv2d_workspace<Device::cuda>(conv(s), pass)
                                           : conv2d_workspace_bfloat16(conv(s), pass));
    return static_cast<std::int64_t>(bytes);
  }
};

namespace {

constexpr unsigned bundle_threads = 256;

/// One pass of the library on T: forward (x, w) -> y, backward_data (dy, w) -> dx.
template <class T>
void convolve(ConvPass pass, const Conv2d& p, const T* a, const T* b, T* out, void* workspace,
              Stream stream) {
  using Function = void (*)(const Conv2d&, const T*, const T*, T*, void*, Stream);
  const auto run = [&](const Function(&of_pass)[2]) {
    of_pass[static_cast<int>(pass)](p, a, b, out, workspace, stream);
  };
  if constexpr (PaddedBundle<T>::stores_float)
    run({conv2d_forward<Device::cuda>, conv2d_backward_data<Device::cuda>});
  else
    run({conv2d_forward, conv2d_backward_data});
}
/// The gradient of the weights.
template <class T>
void differentiate_filters(const Conv2d& p, const T* x, const T* dy, float* dw, void* workspace,
                           Stream stream) {
  if constexpr (PaddedBundle<T>::stores_float)
    conv2d_backward_weight<Device::cuda>(p, x, dy, dw, workspace, stream);
  else
    conv2d_backward_weight(p, x, dy, dw, workspace, stream);
}

/// Calls body.template operator()<V>() with the widest V of `most`, 4, 2, 1 that divides c.
template <int most = 4, class Body>
void dispatch_channels(int c, const Body& body) {
  if constexpr (most > 4)
    if (c % most == 0) return body.template operator()<most>();
  if (c % 4 == 0) return body.template operator()<4>();
  if (c % 2 == 0) return body.template operator()<2>();
  body.template operator()<1>();
}

/// Values of T in 16 bytes.
template <class T>
constexpr int widest = 16 / static_cast<int>(sizeof(T));

/// u[pixel, at .. at+V) = max(0, x) on the first c channels of x, zeros after them.
template <int V, class T>
__device__ inline Channels<V> load_rectified(const ConvBundle& b, const T* x, std::int64_t pixel,
                                             int at) {
  Channels<V> u = {};
  if (at >= b.c) return u;
  u = load_channels<V>(x + pixel * b.read_stride() + at);
  for (int i = 0; i < V; ++i) u.v[i] = u.v[i] > 0.0f ? u.v[i] : 0.0f;
  return u;
}

/// u [pixels, c_pad] for convolutions, one item for V channels; `groups` items a pixel.
template <int V, class T>
__device__ inline void rectify_item(const ConvBundle& b, const T* x, T* u, std::int64_t item,
                                    int groups) {
  const unsigned pixel = static_cast<unsigned>(item) / static_cast<unsigned>(groups);
  const int at = static_cast<int>(static_cast<unsigned>(item) - pixel * groups) * V;
  store_channels(u + item * V, load_rectified<V>(b, x, pixel, at));
}

/// The weights of all sizes: [rows, k, k, c] outside, [z_channels, k, k, c_pad] padded.
template <class Outer, class Padded>
struct WeightPadding {
  struct Size {
    Outer* outer = nullptr;
    Padded* padded = nullptr;
    unsigned items = 0;     ///< that are written; none where a size is left out
    unsigned row_taps = 0;  ///< outer row-tap pairs
  };
  Size first, second;
  unsigned c, c_pad;

  template <class T>
  explicit WeightPadding(const PaddedBundle<T>& p) : c(p.bundle.c), c_pad(p.c_pad) {}
  template <class T>
  void set(const PaddedBundle<T>& p, int size, Outer* outer, Padded* padded, std::int64_t items) {
    Size& here = size == 0 ? first : second;
    here.outer = outer;
    here.padded = padded;
    here.items = static_cast<unsigned>(items);
    here.row_taps =
        static_cast<unsigned>(p.bundle.rows(size) * p.bundle.kernel[size] * p.bundle.kernel[size]);
  }
  std::int64_t blocks() const {
    return blocks_for(std::int64_t{first.items} + second.items, bundle_threads);
  }
  /// Finds the size that `item` belongs to and makes `item` count from its first one. False: after
  /// the last one.
  __device__ bool find(std::int64_t& item, Size& size) const {
    const bool in_first = item < first.items;
    size = in_first ? first : second;
    if (!in_first) item -= first.items;
    return item < size.items;
  }
};
static_assert(ConvBundle::max_sizes == 2);

template <class T>
using WeightPacking = WeightPadding<const T, T>;

/// All sizes where weights are packed at all.
template <class T>
WeightPacking<T> pack_weights(const PaddedBundle<T>& p, const T* const* weights, T* const* packed) {
  WeightPacking<T> packing(p);
  for (int s = 0; s < p.bundle.sizes; ++s)
    packing.set(p, s, weights[s], packed[s], p.packed_count(s));
  return packing;
}

/// Writes one padded weight.
template <class T>
__device__ inline void pack_weight(const WeightPacking<T>& p, std::int64_t item) {
  typename WeightPacking<T>::Size size;
  if (!p.find(item, size)) return;
  const unsigned at = static_cast<unsigned>(item), row_tap = at / p.c_pad,
                 channel = at - row_tap * p.c_pad;
  const bool given = channel < p.c && row_tap < size.row_taps;
  size.padded[at] = given ? size.outer[row_tap * p.c + channel] : static_cast<T>(0.0f);
}

}  // namespace
}  // namespace drnas::kernels
