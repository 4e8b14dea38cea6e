// SPDX-License-Identifier: MIT
// How the CPU twin of conv1x1_planes cuts its work into blocks and packs pixels for
// register_tile.h.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/core/parallel.h"
#include "kernels/planes/conv1x1_planes.h"
#include "kernels/planes/register_tile.h"

namespace drnas::kernels {

/// Floats of packed pixels that share the second-level cache with the weights.
inline constexpr int packed_floats = 36 * 1024;
inline constexpr int most_pixels = 256;

/// The outputs that read the same pixels.
struct Conv1x1Group {
  int count = 0, rows = 0;  ///< rows: of all outputs together
  int output[Conv1x1Planes::max_outputs];

  Conv1x1Group(const Conv1x1Planes& p, int offset) {
    for (int o = 0; o < p.outputs; ++o)
      if (p.offset[o] == offset) {
        output[count++] = o;
        rows += p.c_out[o];
      }
  }
};

/// Planes of the widest operand that is packed: x, or the gradients of a group.
inline int most_planes(const Conv1x1Planes& p) {
  return std::max({p.c_in, Conv1x1Group(p, 0).rows, Conv1x1Group(p, 1).rows});
}

/// Output pixels [first, first + count) of an image.
struct PixelBlock {
  std::int64_t image;
  int first, count;
};

/// Cuts the images into blocks of pixels whose packed planes stay in the second-level cache: whole
/// rows of the output where pixels are sampled.
struct PixelBlocks {
  int pixels, size, per_image;
  std::int64_t total;

  explicit PixelBlocks(const Conv1x1Planes& p) : pixels(p.out_h() * p.out_w()) {
    const int fitting = packed_floats / most_planes(p) / tile_columns * tile_columns;
    size = std::clamp(fitting, tile_columns, most_pixels);
    if (p.stride > 1) size = std::max(1, size / p.out_w()) * p.out_w();
    per_image = (pixels + size - 1) / size;
    total = std::int64_t{p.n} * per_image;
  }
  PixelBlock operator[](std::int64_t i) const {
    const int first = static_cast<int>(i % per_image) * size;
    return {i / per_image, first, std::min(size, pixels - first)};
  }
  /// Floats of one thread's panels, of any operand.
  std::int64_t panel_floats(const Conv1x1Planes& p) const {
    return round_up(size, tile_columns) * std::max(most_planes(p), tile_columns);
  }
  /// Floats of one thread's dense copy of sampled pixels.
  std::int64_t sampled_floats(const Conv1x1Planes& p) const {
    return p.stride > 1 ? round_up(std::int64_t{size} * p.c_in, 64) : 0;
  }
};

/// Pixels of one image, plane by plane.
struct PixelSource {
  const float* data;
  std::int64_t plane;
};

/// Pixels of x that a block reads, as they lie or sampled into `copy` [c_in, count].
inline PixelSource read_pixels(const Conv1x1Planes& p, const ConstPlanes& x,
                               const PixelBlock& block, int offset, float* copy) {
  const float* image = x.data + block.image * x.stride;
  const std::int64_t plane = std::int64_t{p.h} * p.w;
  if (p.stride == 1) return {image + block.first, plane};
  const int width = p.out_w();
  float* __restrict to = copy;
  for (int k = 0; k < p.c_in; ++k)
    for (int i = block.first / width; i < (block.first + block.count) / width; ++i, to += width) {
      const float* from = image + k * plane + std::int64_t{2 * i + offset} * p.w + offset;
      for (int j = 0; j < width; ++j) to[j] = from[2 * j];
    }
  return {copy, block.count};
}

/// The next pixels of x to be asked for while block i of a thread's [.., end) is multiplied by
/// `requests` tiles: planes [plane, plane + planes) of the block after it. None where sampled.
inline Upcoming following_pixels(const Conv1x1Planes& p, const ConstPlanes& x,
                                 const PixelBlocks& blocks, std::int64_t i, std::int64_t end,
                                 int planes, int requests) {
  if (p.stride > 1 || i + 1 == end) return {};
  const PixelBlock next = blocks[i + 1];
  return {x.data + next.image * x.stride + next.first, blocks.pixels, planes, next.count, requests};
}

template <bool Relu, class T>
T activation(T x) {
  if constexpr (Relu) return x > 0.0f ? x : T{};
  return x;
}

/// Packs `planes` planes of `count` pixels into panels [count / tile_columns, depth, tile_columns],
/// at the first `planes` of `depth` (to continue there, move `panels` on).
template <bool Relu>
void pack_pixels(const PixelSource& from, int count, int planes, int depth, float* panels) {
  constexpr int stretch = 4 * tile_columns;  // long enough to read memory in whole lines
  for (int start = 0; start < count; start += stretch)
    for (int k = 0; k < planes; ++k)
      for (int c = start; c < std::min(start + stretch, count); c += tile_columns) {
        float* __restrict to = panels + std::int64_t{c} * depth + std::int64_t{k} * tile_columns;
        const float* pixel = from.data + k * from.plane + c;
        if (c + tile_columns <= count) {
          for (int v = 0; v < tile_columns; v += tile_lanes)
            store<tile_lanes>(to + v, activation<Relu>(load<tile_lanes>(pixel + v)));
          continue;
        }
        for (int i = 0; i < tile_columns; ++i)
          to[i] = c + i < count ? activation<Relu>(pixel[i]) : 0.0f;
      }
}

/// to [4, tile_columns] = transpose of four rows of four.
template <bool Relu>
void transpose_square(const float* from, std::int64_t stride, float* to) {
  Lanes<4> row[4];
  for (int r = 0; r < 4; ++r) row[r] = activation<Relu>(load<4>(from + r * stride));
  const Lanes<4> low0 = __builtin_shufflevector(row[0], row[1], 0, 4, 1, 5),
                 high0 = __builtin_shufflevector(row[0], row[1], 2, 6, 3, 7),
                 low1 = __builtin_shufflevector(row[2], row[3], 0, 4, 1, 5),
                 high1 = __builtin_shufflevector(row[2], row[3], 2, 6, 3, 7);
  store<4>(to, __builtin_shufflevector(low0, low1, 0, 1, 4, 5));
  store<4>(to + tile_columns, __builtin_shufflevector(low0, low1, 2, 3, 6, 7));
  store<4>(to + 2 * tile_columns, __builtin_shufflevector(high0, high1, 0, 1, 4, 5));
  store<4>(to + 3 * tile_columns, __builtin_shufflevector(high0, high1, 2, 3, 6, 7));
}

/// Packs `planes` (at most tile_columns) planes into one panel [count, tile_columns].
template <bool Relu>
void pack_transposed(const PixelSource& from, int count, int planes, float* panel) {
  const int squares = count / 4 * 4, whole = planes / 4 * 4;
  for (int k = 0; k < whole; k += 4)
    for (int c = 0; c < squares; c += 4)
      transpose_square<Relu>(from.data + k * from.plane + c, from.plane,
                             panel + std::int64_t{c} * tile_columns + k);
  for (int k = 0; k < tile_columns; ++k)
    for (int c = k < whole ? squares : 0; c < count; ++c)
      panel[std::int64_t{c} * tile_columns + k] =
          k < planes ? activation<Relu>(from.data[k * from.plane + c]) : 0.0f;
}

}  // namespace drnas::kernels
