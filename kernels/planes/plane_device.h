// SPDX-License-Identifier: MIT
// What the CUDA kernels on planes share: how threads cover planes, or the pixels of a channel, in
// vectors of up to 16 bytes, and reductions over a channel in a fixed order. For .cu files.
#pragma once

#include <algorithm>

#include "kernels/core/arrival.h"
#include "kernels/core/cuda_vector.h"
#include "kernels/core/warp_reduce.h"
#include "kernels/planes/plane_access.h"

namespace drnas::kernels {
namespace {

constexpr int plane_threads = 256, plane_warps = plane_threads / static_cast<int>(warp_lanes);
/// Most planes that a block covers.
constexpr int most_planes = 64;
/// Most blocks that share a channel's reduction, and most channels, whose blocks are counted.
constexpr std::int64_t most_rows = 256;
constexpr int most_channels = 8192;
using ChannelCounters = ArrivalCounters<most_channels>;
/// Blocks that keep a large GPU busy.
constexpr std::int64_t enough_plane_blocks = 264;

/// Throws Error unless `count` things of a kernel can be counted in 31 bits.
inline void check_count(const char* what, std::int64_t count) {
  if (count > INT32_MAX)
    throw Error(std::string(what) + ": " + std::to_string(count) + " pixels, expected below 2^31");
}

/// The widest vector, of 4, 2 or 1 floats, that divides planes and for which all of them are
/// aligned.
class PlaneWidth {
 public:
  explicit PlaneWidth(std::int64_t pixels)
      : bits_(4 * sizeof(float) | static_cast<std::uintptr_t>(pixels) * sizeof(float)) {}
  template <class T>
  PlaneWidth& with(const PlanesOf<T>& planes) {
    if (planes.data)
      bits_ |= reinterpret_cast<std::uintptr_t>(planes.data) |
               static_cast<std::uintptr_t>(planes.stride) * sizeof(float);
    return *this;
  }
  /// Calls body.template operator()<V>().
  template <class Body>
  void dispatch(const Body& body) const {
    const std::uintptr_t bytes = bits_ & -bits_;
    if (bytes >= 4 * sizeof(float)) return body.template operator()<4>();
    if (bytes >= 2 * sizeof(float)) return body.template operator()<2>();
    body.template operator()<1>();
  }

 private:
  std::uintptr_t bits_;
};

/// Blocks that cover planes, one vector a thread: several small planes a block, or `chunks` blocks
/// a large one.
struct PlaneGrid {
  int planes, vectors;  ///< vectors of a plane
  int group, chunks;
  std::int64_t blocks;

  PlaneGrid(std::int64_t plane_count, std::int64_t pixels, int width)
      : planes(static_cast<int>(plane_count)), vectors(static_cast<int>(pixels / width)) {
    check_count("planes", std::max(plane_count, pixels));
    group = std::clamp(plane_threads / std::max(1, vectors), 1, most_planes);
    chunks = group > 1 ? 1 : static_cast<int>(blocks_for(vectors, plane_threads));
    blocks = blocks_for(planes, group) * chunks;
  }
  LaunchShape shape(std::size_t shared_bytes = 0) const {
    return {blocks, plane_threads, shared_bytes};
  }
};

/// A thread's vector: which plane, and the vector's index in it.
struct PlanePlace {
  int first, slot, plane, vector;  ///< first: the block's first plane
  bool active;

  __device__ explicit PlanePlace(const PlaneGrid& grid) {
    const int block = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.x);
    const int index = grid.chunks == 1 ? block : block / grid.chunks;
    const int item = (block - index * grid.chunks) * plane_threads + thread;
    first = index * grid.group;
    slot = grid.group == 1 ? 0 : item / grid.vectors;
    vector = item - slot * grid.vectors;
    plane = first + slot;
    active = slot < grid.group && vector < grid.vectors && plane < grid.planes;
  }
};

/// How blocks (x: rows, y: channels) reduce each channel's n planes: tiles of `held` vectors a
/// thread; row r takes the tiles r, r + rows, ...
struct ChannelPixels {
  int vectors, total;  ///< of a plane, of all planes of a channel
  int tiles, rows;

  ChannelPixels(int n, int c, std::int64_t pixels, int width, int held)
      : vectors(static_cast<int>(pixels / width)) {
    check_count("planes", n * pixels);
    if (c > most_channels)
      throw Error("planes: " + std::to_string(c) + " channels, expected at most " +
                  std::to_string(most_channels));
    total = static_cast<int>(n * std::int64_t{vectors});
    tiles = static_cast<int>(blocks_for(total, plane_threads * held));
    rows = static_cast<int>(std::min<std::int64_t>(tiles, most_rows));
  }
  LaunchShape shape(int c, std::size_t shared_bytes) const {
    return {rows, plane_threads, shared_bytes, static_cast<unsigned>(c)};
  }
  /// Vectors in a tile.
  template <int held>
  __device__ int in_tile(int tile) const {
    const int rest = total - tile * (plane_threads * held);
    return rest < plane_threads * held ? rest : plane_threads * held;
  }
  /// Calls body(k, image, vector of the plane) for this thread's vectors k < held of a tile.
  template <int held, class Body>
  __device__ void each(int tile, const Body& body) const {
    for (int k = 0; k < held; ++k) {
      const int item = (tile * held + k) * plane_threads + static_cast<int>(threadIdx.x);
      if (item >= total) return;
      const int image = item / vectors;
      body(k, image, item - image * vectors);
    }
  }
};

/// Room for the rows of any tiling.
inline std::int64_t rows_bound(int n, std::int64_t pixels) {
  return std::min(most_rows, blocks_for(n * pixels, plane_threads));
}

/// Calls body.template operator()<V, held>(): few vectors a thread where there would be few blocks.
template <class Body>
void dispatch_channel(const PlaneWidth& width, int n, int c, std::int64_t pixels,
                      const Body& body) {
  width.dispatch([&]<int V>() {
    if (c * blocks_for(n * pixels, plane_threads * 4 * V) >= enough_plane_blocks)
      return body.template operator()<V, 4>();
    body.template operator()<V, 1>();
  });
}

/// Shared memory of block_sums for N sums.
constexpr std::size_t block_sums_bytes(int count) {
  return (sizeof(float) * plane_warps + sizeof(double)) * count;
}

/// Sums over the block: of each warp in float32, of the warps in float64, by one thread a sum since
/// many cards add few doubles at once. Every thread of the block must call it, and gets them.
template <int N>
__device__ inline void block_sums(const float (&values)[N], double (&sums)[N]) {
  float* parts = static_cast<float*>(shared_memory());  // [N, warps]
  const int lane = threadIdx.x % warp_lanes, warp = threadIdx.x / warp_lanes;
  __syncthreads();
  for (int k = 0; k < N; ++k) {
    const float sum = warp_sum(values[k]);
    if (lane == 0) parts[k * plane_warps + warp] = sum;
  }
  auto* const totals = reinterpret_cast<double*>(parts + N * plane_warps);
  __syncthreads();
  if (threadIdx.x < N) {
    double sum = 0.0;
    for (int w = 0; w < plane_warps; ++w) sum += parts[threadIdx.x * plane_warps + w];
    totals[threadIdx.x] = sum;
  }
  __syncthreads();
  for (int k = 0; k < N; ++k) sums[k] = totals[k];
}

/// This thread's warp of the whole grid.
__device__ inline int global_warp() {
  return static_cast<int>(blockIdx.x) * plane_warps + static_cast<int>(threadIdx.x / warp_lanes);
}

/// Sum of `rows` numbers by one warp; every lane gets it.
__device__ inline double sum_of_rows(const double* from, int rows) {
  double sum = 0.0;
  for (int row = threadIdx.x % warp_lanes; row < rows; row += warp_lanes) sum += from[row];
  return warp_sum(sum);
}

}  // namespace
}  // namespace drnas::kernels
