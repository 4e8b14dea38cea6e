// SPDX-License-Identifier: MIT
// The 1x1 half of the separable convolutions on CUDA: products of a tile of pixels in shared memory
// with weights in shared memory.
#pragma once

#include "kernels/planes/separable_strips.h"

namespace drnas::kernels {

/// Outputs that a thread sums at once, and floats from input to input of their weights.
inline constexpr int pointwise_outputs = 6, pointwise_pitch = 8;

constexpr DRNAS_HD int pointwise_groups(int outputs) {
  return (outputs + pointwise_outputs - 1) / pointwise_outputs;
}
/// Floats of staged weights.
constexpr DRNAS_HD int pointwise_floats(int outputs, int inputs) {
  return pointwise_groups(outputs) * inputs * pointwise_pitch;
}

/// Channels of a tile that blocks hold at once, and the most pixels of their tiles.
struct PointwiseChunk {
  int channels, pixels;

  explicit PointwiseChunk(const Separable& s) {
    const int wide = std::max(s.c, s.c_out);
    pixels = s.stride == 1 && wide <= 20 ? 256 : 128;
    channels = pixels == 256 ? 20 : 36;
  }
};

/// Puts weights into shared memory as [groups of outputs][inputs][8], zeros where a group is not
/// full. The matrix in memory has rows `stride` apart, of inputs, or of outputs where Transposed.
template <bool Transposed>
__device__ inline void stage_pointwise(const float* matrix, int stride, int outputs, int inputs,
                                       float* shared) {
  const int filled = pointwise_groups(outputs) * pointwise_outputs,
            rows = Transposed ? inputs : filled;
  for (MatrixWalk at(Transposed ? filled : inputs); at.row < rows; at.next()) {
    const int out = Transposed ? at.column : at.row, in = Transposed ? at.row : at.column,
              group = out / pointwise_outputs;
    shared[(group * inputs + in) * pointwise_pitch + out - group * pointwise_outputs] =
        out < outputs ? matrix[std::int64_t{at.row} * stride + at.column] : 0.0f;
  }
}

/// Two pixels of a lane, among those of a tile, of which a warp takes 32 neighbours twice.
struct PixelPair {
  int chunk;     ///< of the tile's
  int chunks;    ///< that cover the tile
  int pixel[2];  ///< maybe past the tile's end
  bool active[2];
  std::int64_t offset[2];  ///< in the plane

  __device__ PixelPair(const PixelTiles& t, const TileCorner& corner, int chunk_, int chunks_)
      : chunk(chunk_), chunks(chunks_) {
    for (int p = 0; p < 2; ++p) {
      const int at = (chunk + p * chunks) * static_cast<int>(warp_lanes) + lane_index(),
                i = at >> t.shift, j = at & (t.width - 1);
      pixel[p] = at < t.area() ? at : t.area() - 1;
      active[p] = at < t.area() && corner.contains(t, i, j);
      offset[p] = std::int64_t{corner.top + i} * t.columns + corner.left + j;
    }
  }
};

constexpr DRNAS_HD int pair_chunks(int area) { return (area + 63) / 64; }

/// Sums of six outputs over `inputs` planes of a tile, rows of `from` `pitch` apart. Warps share
/// groups of outputs and pixels: emit(first output, pixels, sums).
template <class Emit>
__device__ inline void pointwise_tile(const PixelTiles& t, const TileCorner& corner, int outputs,
                                      int inputs, const float* weights, const float* from,
                                      int pitch, const Emit& emit) {
  const int chunks = pair_chunks(t.area()), items = pointwise_groups(outputs) * chunks;
  for (int item = warp_index(); item < items; item += separable_warps) {
    const int group = item / chunks;
    const PixelPair pixels(t, corner, item - group * chunks, chunks);
    const float* weight = weights + group * inputs * pointwise_pitch;
    const float *one = from + pixels.pixel[0], *other = from + pixels.pixel[1];
    float sum[pointwise_outputs][2] = {};
    for (int k = 0; k < inputs; ++k, weight += pointwise_pitch, one += pitch, other += pitch) {
      float w[4], rest[2];
      load_vector(weight, w);
      load_vector(weight + 4, rest);
      const float x[2] = {*one, *other};
      DRNAS_UNROLL
      for (int p = 0; p < 2; ++p) {
        DRNAS_UNROLL
        for (int o = 0; o < 4; ++o) sum[o][p] += w[o] * x[p];
        sum[4][p] += rest[0] * x[p];
        sum[5][p] += rest[1] * x[p];
      }
    }
    emit(group * pointwise_outputs, pixels, sum);
  }
}

/// Sums over the warp of N values, a power of two up to 32, in a fixed order: lane l gets that of
/// value l N / 32.
template <int N, int Other = static_cast<int>(warp_lanes) / 2>
__device__ inline float warp_sums(float (&value)[N]) {
  if constexpr (Other == 0) {
    return value[0];
  } else if constexpr (N == 1) {
    value[0] += __shfl_xor_sync(full_warp, value[0], Other);
    return warp_sums<1, Other / 2>(value);
  } else {
    const bool upper = lane_index() & Other;
    float part[N / 2];
    DRNAS_UNROLL
    for (int k = 0; k < N / 2; ++k) {
      const float given = upper ? value[k] : value[k + N / 2],
                  kept = upper ? value[k + N / 2] : value[k];
      part[k] = kept + __shfl_xor_sync(full_warp, given, Other);
    }
    return warp_sums<N / 2, Other / 2>(part);
  }
}

}  // namespace drnas::kernels
