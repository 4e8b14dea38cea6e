// SPDX-License-Identifier: MIT
#include "kernels/layers/pool2d.h"

#include <algorithm>
#include <limits>

#include "kernels/core/parallel.h"

namespace drnas::kernels {
namespace {

/// The pixels [begin, end) of one axis inside the image that output `i` sees.
struct Window {
  int begin, end;

  Window(int i, const Pool2d& p, int size)
      : begin(std::max(0, i * p.stride - p.padding)),
        end(std::min(size, i * p.stride - p.padding + p.kernel)) {}
  int count() const { return end - begin; }
};

/// Calls body(input offset) for the pixels of a window in row-major order; offsets in floats from
/// the image's start.
template <class Body>
void each_pixel(const Pool2d& p, const Window& rows, const Window& columns, const Body& body) {
  for (int a = rows.begin; a < rows.end; ++a)
    for (int b = columns.begin; b < columns.end; ++b) body((std::int64_t{a} * p.w + b) * p.c);
}

/// Calls body(rows, columns, output offset) for every output pixel of an image.
template <class Body>
void each_output(const Pool2d& p, const Body& body) {
  for (int i = 0; i < p.out_h(); ++i)
    for (int j = 0; j < p.out_w(); ++j)
      body(Window(i, p, p.h), Window(j, p, p.w), (std::int64_t{i} * p.out_w() + j) * p.c);
}

template <class Body>
void each_image(const Pool2d& p, const Body& body) {
  parallel_ranges(p.n, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n)
      body(n * p.h * p.w * p.c, n * p.out_h() * p.out_w() * p.c);
  });
}

/// Offset of the first largest value of channel c in a window.
std::int64_t first_largest(const Pool2d& p, const Window& rows, const Window& columns,
                           const float* x, int c) {
  float largest = -std::numeric_limits<float>::infinity();
  std::int64_t at = (std::int64_t{rows.begin} * p.w + columns.begin) * p.c + c;
  each_pixel(p, rows, columns, [&](std::int64_t offset) {
    if (x[offset + c] > largest) {
      largest = x[offset + c];
      at = offset + c;
    }
  });
  return at;
}

}  // namespace

template <>
void pool2d_forward<Device::cpu>(const Pool2d& p, const float* x, float* y, Stream) {
  each_image(p, [&](std::int64_t from, std::int64_t to) {
    each_output(p, [&](const Window& rows, const Window& columns, std::int64_t at) {
      float* __restrict out = y + to + at;
      if (p.max) {
        for (int c = 0; c < p.c; ++c)
          out[c] = x[from + first_largest(p, rows, columns, x + from, c)];
        return;
      }
      std::fill_n(out, p.c, 0.0f);
      const float scale = 1.0f / static_cast<float>(rows.count() * columns.count());
      each_pixel(p, rows, columns, [&](std::int64_t offset) {
        const float* __restrict in = x + from + offset;
#pragma omp simd
        for (int c = 0; c < p.c; ++c) out[c] += scale * in[c];
      });
    });
  });
}

template <>
void pool2d_backward<Device::cpu>(const Pool2d& p, const float* x, const float* dy, float* dx,
                                  bool accumulate, Stream) {
  each_image(p, [&](std::int64_t to, std::int64_t from) {
    if (!accumulate) std::fill_n(dx + to, std::int64_t{p.h} * p.w * p.c, 0.0f);
    each_output(p, [&](const Window& rows, const Window& columns, std::int64_t at) {
      const float* __restrict d = dy + from + at;
      if (p.max) {
        for (int c = 0; c < p.c; ++c) dx[to + first_largest(p, rows, columns, x + to, c)] += d[c];
        return;
      }
      const float scale = 1.0f / static_cast<float>(rows.count() * columns.count());
      each_pixel(p, rows, columns, [&](std::int64_t offset) {
        float* __restrict out = dx + to + offset;
#pragma omp simd
        for (int c = 0; c < p.c; ++c) out[c] += scale * d[c];
      });
    });
  });
}

template <>
void global_average_forward<Device::cpu>(int n, std::int64_t pixels, int c, const float* x,
                                         float* y, Stream) {
  parallel_ranges(n, [&](int, std::int64_t begin, std::int64_t end) {
    const float scale = 1.0f / static_cast<float>(pixels);
    for (std::int64_t i = begin; i < end; ++i) {
      float* __restrict out = y + i * c;
      std::fill_n(out, c, 0.0f);
      for (std::int64_t q = 0; q < pixels; ++q) {
        const float* __restrict in = x + (i * pixels + q) * c;
#pragma omp simd
        for (int k = 0; k < c; ++k) out[k] += in[k];
      }
      for (int k = 0; k < c; ++k) out[k] *= scale;
    }
  });
}

template <>
void global_average_backward<Device::cpu>(int n, std::int64_t pixels, int c, const float* dy,
                                          float* dx, bool accumulate, Stream) {
  parallel_ranges(n, [&](int, std::int64_t begin, std::int64_t end) {
    const float scale = 1.0f / static_cast<float>(pixels);
    for (std::int64_t i = begin * pixels; i < end * pixels; ++i) {
      const float* __restrict d = dy + i / pixels * c;
      float* __restrict out = dx + i * c;
      if (!accumulate) std::fill_n(out, c, 0.0f);
#pragma omp simd
      for (int k = 0; k < c; ++k) out[k] += scale * d[k];
    }
  });
}

}  // namespace drnas::kernels
