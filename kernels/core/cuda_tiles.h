// SPDX-License-Identifier: MIT
// How blocks cover [pixels, channels] tensors and reduce over pixels in a fixed order, for .cu
// files.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/core/cuda_vector.h"

namespace drnas::kernels {

/// A block covers one tile of channels: thread t takes the vector of channels (a group) t % lanes
/// of tile blockIdx.y, and every rows-th pixel from t / lanes on. Neighbouring threads thus touch
/// neighbouring memory whatever the channel count; threads past lanes * rows idle.
struct ChannelTiles {
  int groups, tiles, lanes, rows;

  ChannelTiles(int groups, int most_lanes, int threads)
      : groups(groups),
        tiles((groups + most_lanes - 1) / most_lanes),
        lanes((groups + tiles - 1) / tiles),
        rows(threads / lanes) {}
};

/// Where this thread stands in its block's tile.
struct TilePlace {
  int lane, row, group;
  bool active;

  __device__ explicit TilePlace(const ChannelTiles& tiles)
      : lane(static_cast<int>(threadIdx.x % static_cast<unsigned>(tiles.lanes))),
        row(static_cast<int>(threadIdx.x / static_cast<unsigned>(tiles.lanes))),
        group(static_cast<int>(blockIdx.y) * tiles.lanes + lane),
        active(row < tiles.rows && group < tiles.groups) {}
};

/// Half of the smallest power of two that is at least `rows`: the first distance of a tree.
__device__ inline int first_distance(int rows) {
  int size = 1;
  while (size < rows) size *= 2;
  return size / 2;
}

/// Shared memory of reduce_rows for `floats` values a thread.
inline std::size_t reduce_rows_bytes(int floats, int threads) {
  return sizeof(float) * (static_cast<std::size_t>(floats) + 1) * static_cast<std::size_t>(threads);
}

/// Merges the P vectors of all rows of a tile by a binary tree; row 0 ends with the result. `count`
/// is how many pixels a thread's values stand for; merge(values, other, count, other_count) adds
/// another row's. Every thread of the block must call it, once, before other shared memory is used.
template <int P, int V, class Merge>
__device__ inline void reduce_rows(const ChannelTiles& tiles, const TilePlace& place,
                                   float (&values)[P][V], float count, const Merge& merge) {
  float* shared = static_cast<float*>(shared_memory());  // [P][rows][lanes][V], then counts [rows]
  float* counts = shared + P * tiles.rows * tiles.lanes * V;
  const auto slot = [&](int part, int row) {
    return shared + ((part * tiles.rows + row) * tiles.lanes + place.lane) * V;
  };
  const auto put = [&] {
    for (int part = 0; part < P; ++part) store_vector(slot(part, place.row), values[part]);
    if (place.lane == 0) counts[place.row] = count;
  };
  if (place.row < tiles.rows) put();
  for (int distance = first_distance(tiles.rows); distance > 0; distance /= 2) {
    __syncthreads();
    if (place.row >= distance || place.row + distance >= tiles.rows) continue;
    float other[P][V];
    for (int part = 0; part < P; ++part) load_vector(slot(part, place.row + distance), other[part]);
    const float other_count = counts[place.row + distance];
    merge(values, other, count, other_count);
    count += other_count;
    put();
  }
}

/// The merge of sums.
struct AddRows {
  template <int P, int V>
  __device__ void operator()(float (&values)[P][V], const float (&other)[P][V], float,
                             float) const {
    for (int part = 0; part < P; ++part)
      for (int v = 0; v < V; ++v) values[part][v] += other[part][v];
  }
};

/// The merge of (mean, M2) of two sets of pixels (Chan et al. 1983); values[0] are means, [1] M2.
struct MergeMoments {
  template <int V>
  __device__ void operator()(float (&values)[2][V], const float (&other)[2][V], float count,
                             float other_count) const {
    const float total = count + other_count, share = total > 0 ? other_count / total : 0.0f;
    for (int v = 0; v < V; ++v) {
      const float delta = other[0][v] - values[0][v];
      values[0][v] += delta * share;
      values[1][v] += other[1][v] + delta * delta * (count * share);
    }
  }
};

/// Mean and M2 of the first `count` vectors; the others are zero.
template <int batch, int V>
__device__ inline void batch_moments(const float (&x)[batch][V], int count,
                                     float (&moments)[2][V]) {
  const float share = 1.0f / static_cast<float>(count);
  for (int v = 0; v < V; ++v) {
    float sum = 0.0f, squares = 0.0f;
    for (int k = 0; k < batch; ++k) sum += x[k][v];
    const float mean = sum * share;
    for (int k = 0; k < batch; ++k) {
      const float d = k < count ? x[k][v] - mean : 0.0f;
      squares += d * d;
    }
    moments[0][v] = mean;
    moments[1][v] = squares;
  }
}

/// Sum over `rows` rows of `width` columns of threads (thread t: row t / width, column t % width),
/// by a binary tree; every thread gets its column's. Takes rows * width doubles of shared memory.
/// Every thread of the block must call it.
__device__ inline double sum_columns(double value, int row, int column, int rows, int width) {
  double* sums = static_cast<double*>(shared_memory());
  __syncthreads();
  if (row < rows) sums[row * width + column] = value;
  for (int distance = first_distance(rows); distance > 0; distance /= 2) {
    __syncthreads();
    if (row < distance && row + distance < rows)
      sums[row * width + column] += sums[(row + distance) * width + column];
  }
  __syncthreads();
  return sums[column];
}

}  // namespace drnas::kernels
