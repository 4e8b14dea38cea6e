// SPDX-License-Identifier: MIT
#include "kernels/planes/planes.h"

#include <cstring>

#include "kernels/core/transpose_pixel.h"
#include "kernels/planes/plane_loops.h"

namespace drnas::kernels {
namespace {

/// Pixels whose channels are transposed together: their vectors stay in the L1 cache.
constexpr std::int64_t transpose_pixels = 64;

/// Calls body(image, first pixel, end) for runs of pixels.
template <class Body>
void each_run(int n, std::int64_t pixels, const Body& body) {
  const std::int64_t runs = (pixels + transpose_pixels - 1) / transpose_pixels;
  parallel_ranges(n * runs, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t first = i % runs * transpose_pixels;
      body(i / runs, first, std::min(pixels, first + transpose_pixels));
    }
  });
}

/// Transposes pixels [begin, end) of an image. `block(channel, pixel)` moves four channels of four
/// pixels, `single(channel, pixel)` one.
template <class Block, class Single>
void transpose_run(int c, std::int64_t begin, std::int64_t end, const Block& block,
                   const Single& single) {
  int ch = 0;
  for (; ch + 4 <= c; ch += 4) {
    std::int64_t q = begin;
    for (; q + 4 <= end; q += 4) block(ch, q);
    for (; q < end; ++q)
      for (int k = 0; k < 4; ++k) single(ch + k, q);
  }
  for (; ch < c; ++ch)
    for (std::int64_t q = begin; q < end; ++q) single(ch, q);
}

}  // namespace

template <>
void to_planes<Device::cpu>(int n, int c, std::int64_t pixels, const float* x, Planes y, Stream) {
  each_run(n, pixels, [&](std::int64_t image, std::int64_t begin, std::int64_t end) {
    const float* __restrict from = x + image * pixels * c;
    float* __restrict to = y.data + image * y.stride;
    transpose_run(
        c, begin, end,
        [&](int ch, std::int64_t q) {
          transpose_4x4(from + q * c + ch, c, to + ch * pixels + q, static_cast<int>(pixels));
        },
        [&](int ch, std::int64_t q) { to[ch * pixels + q] = from[q * c + ch]; });
  });
}

template <>
void from_planes<Device::cpu>(int n, int c, std::int64_t pixels, ConstPlanes x, float* y,
                              bool accumulate, Stream) {
  each_run(n, pixels, [&](std::int64_t image, std::int64_t begin, std::int64_t end) {
    const float* __restrict from = x.data + image * x.stride;
    float* __restrict to = y + image * pixels * c;
    transpose_run(
        c, begin, end,
        [&](int ch, std::int64_t q) {
          float tile[16];
          transpose_4x4(from + ch * pixels + q, static_cast<int>(pixels), tile, 4);
          for (int k = 0; k < 4; ++k) {
            float* out = to + (q + k) * c + ch;
            const Lanes<4> before = accumulate ? load<4>(out) : Lanes<4>{};
            store<4>(out, before + load<4>(tile + 4 * k));
          }
        },
        [&](int ch, std::int64_t q) {
          float& out = to[q * c + ch];
          out = (accumulate ? out : 0.0f) + from[ch * pixels + q];
        });
  });
}

template <>
void copy_planes<Device::cpu>(int n, int c, std::int64_t pixels, ConstPlanes x, Planes y,
                              bool accumulate, Stream) {
  each_plane(n, c, [&](std::int64_t image, int ch) {
    const float* from = plane_of(x, pixels, image, ch);
    float* to = plane_of(y, pixels, image, ch);
    if (!accumulate) {
      std::memcpy(to, from, static_cast<std::size_t>(pixels) * sizeof(float));
      return;
    }
    each_vector(pixels, [&]<int V>(std::int64_t i) {
      store<V>(to + i, load<V>(to + i) + load<V>(from + i));
    });
  });
}

template <>
void average_planes_forward<Device::cpu>(int n, int c, std::int64_t pixels, ConstPlanes x, float* y,
                                         Stream) {
  each_plane(n, c, [&](std::int64_t image, int ch) {
    const float* from = plane_of(x, pixels, image, ch);
    double sum = 0;
    each_block(pixels, [&](std::int64_t first, std::int64_t count) {
      sum_block<1>(
          count, [&]<int V>(std::int64_t i, int) { return load<V>(from + first + i); }, &sum);
    });
    y[image * c + ch] = static_cast<float>(sum / static_cast<double>(pixels));
  });
}

template <>
void average_planes_backward<Device::cpu>(int n, int c, std::int64_t pixels, const float* dy,
                                          Planes dx, Stream) {
  each_plane(n, c, [&](std::int64_t image, int ch) {
    std::fill_n(plane_of(dx, pixels, image, ch), pixels,
                dy[image * c + ch] / static_cast<float>(pixels));
  });
}

}  // namespace drnas::kernels
