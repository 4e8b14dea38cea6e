// SPDX-License-Identifier: MIT
#include "kernels/planes/planes.h"

#include "kernels/planes/plane_device.h"

namespace drnas::kernels {
namespace {

/// Pixels and channels of a transposed tile, in shared memory as [channels, pixels + 1].
constexpr int tile_pixels = 128, tile_channels = 32, tile_pitch = tile_pixels + 1;

/// Tiles of n images: blockIdx.x names image and pixels, blockIdx.y channels.
struct TransposeTiles {
  int c, chunk, runs;
  std::int64_t pixels, blocks;

  TransposeTiles(int n, int c, std::int64_t pixels)
      : c(c),
        chunk(std::min(c, tile_channels)),
        runs(static_cast<int>(blocks_for(pixels, tile_pixels))),
        pixels(pixels),
        blocks(std::int64_t{n} * runs) {
    check_count("planes", pixels);
  }
  LaunchShape shape() const {
    return {blocks, plane_threads, sizeof(float) * chunk * tile_pitch,
            static_cast<unsigned>(blocks_for(c, chunk))};
  }
};

struct TransposeTile {
  std::int64_t image, first;  ///< first pixel
  int count, channel, channels;

  __device__ explicit TransposeTile(const TransposeTiles& t) {
    const int run = static_cast<int>(blockIdx.x % static_cast<unsigned>(t.runs));
    image = blockIdx.x / static_cast<unsigned>(t.runs);
    first = std::int64_t{run} * tile_pixels;
    count = static_cast<int>(t.pixels - first < tile_pixels ? t.pixels - first : tile_pixels);
    channel = static_cast<int>(blockIdx.y) * t.chunk;
    channels = t.c - channel < t.chunk ? t.c - channel : t.chunk;
  }
  /// Calls body(NHWC offset in the image, place in shared memory), neighbours channel by channel.
  template <class Body>
  __device__ void each_interleaved(const TransposeTiles& t, const Body& body) const {
    for (int i = threadIdx.x; i < count * channels; i += plane_threads) {
      const int q = i / channels, ch = i - q * channels;
      body((first + q) * t.c + channel + ch, ch * tile_pitch + q);
    }
  }
  /// The same for offsets in planes, neighbours pixel by pixel.
  template <class Body>
  __device__ void each_planar(const TransposeTiles& t, const Body& body) const {
    const int q = threadIdx.x % tile_pixels;
    if (q >= count) return;
    for (int ch = threadIdx.x / tile_pixels; ch < channels; ch += plane_threads / tile_pixels)
      body((channel + ch) * t.pixels + first + q, ch * tile_pitch + q);
  }
};

__global__ void __launch_bounds__(plane_threads)
    to_planes_kernel(TransposeTiles tiles, const float* x, Planes y) {
  float* shared = static_cast<float*>(shared_memory());
  const TransposeTile tile(tiles);
  const float* from = x + tile.image * tiles.pixels * tiles.c;
  float* to = y.data + tile.image * y.stride;
  tile.each_interleaved(tiles, [&](std::int64_t at, int place) { shared[place] = from[at]; });
  __syncthreads();
  tile.each_planar(tiles, [&](std::int64_t at, int place) { to[at] = shared[place]; });
}

__global__ void __launch_bounds__(plane_threads)
    from_planes_kernel(TransposeTiles tiles, ConstPlanes x, float* y, bool accumulate) {
  float* shared = static_cast<float*>(shared_memory());
  const TransposeTile tile(tiles);
  const float* from = x.data + tile.image * x.stride;
  float* to = y + tile.image * tiles.pixels * tiles.c;
  tile.each_planar(tiles, [&](std::int64_t at, int place) { shared[place] = from[at]; });
  __syncthreads();
  tile.each_interleaved(tiles, [&](std::int64_t at, int place) {
    to[at] = accumulate ? to[at] + shared[place] : shared[place];
  });
}

template <int V>
__global__ void __launch_bounds__(plane_threads)
    copy_kernel(PlaneGrid grid, int c, std::int64_t pixels, ConstPlanes x, Planes y,
                bool accumulate) {
  const PlanePlace place(grid);
  if (!place.active) return;
  const int image = place.plane / c, ch = place.plane - image * c, at = place.vector * V;
  float* to = plane_of(y, pixels, image, ch) + at;
  float values[V], before[V] = {};
  load_vector(plane_of(x, pixels, image, ch) + at, values);
  if (accumulate) load_vector(to, before);
  for (int v = 0; v < V; ++v) values[v] += before[v];
  store_vector(to, values);
}

/// One warp a plane.
template <int V>
__global__ void __launch_bounds__(plane_threads)
    average_kernel(int planes, int c, std::int64_t pixels, ConstPlanes x, float* y) {
  const int plane = global_warp(), lane = threadIdx.x % warp_lanes;
  if (plane >= planes) return;
  const float* from = plane_of(x, pixels, plane / c, plane % c);
  double sum = 0.0;
  for (std::int64_t at = lane * V; at < pixels; at += warp_lanes * V) {
    float values[V], part = 0.0f;
    load_vector(from + at, values);
    for (int v = 0; v < V; ++v) part += values[v];
    sum += part;
  }
  sum = warp_sum(sum);
  if (lane == 0) y[plane] = static_cast<float>(sum / static_cast<double>(pixels));
}

template <int V>
__global__ void __launch_bounds__(plane_threads)
    average_gradient_kernel(PlaneGrid grid, int c, std::int64_t pixels, const float* dy,
                            Planes dx) {
  const PlanePlace place(grid);
  if (!place.active) return;
  const int image = place.plane / c, ch = place.plane - image * c;
  const float share = dy[place.plane] / static_cast<float>(pixels);
  float values[V];
  for (int v = 0; v < V; ++v) values[v] = share;
  store_vector(plane_of(dx, pixels, image, ch) + place.vector * V, values);
}

}  // namespace

template <>
void to_planes<Device::cuda>(int n, int c, std::int64_t pixels, const float* x, Planes y,
                             Stream stream) {
  const TransposeTiles tiles(n, c, pixels);
  launch("to_planes", to_planes_kernel, tiles.shape(), stream, tiles, x, y);
}

template <>
void from_planes<Device::cuda>(int n, int c, std::int64_t pixels, ConstPlanes x, float* y,
                               bool accumulate, Stream stream) {
  const TransposeTiles tiles(n, c, pixels);
  launch("from_planes", from_planes_kernel, tiles.shape(), stream, tiles, x, y, accumulate);
}

template <>
void copy_planes<Device::cuda>(int n, int c, std::int64_t pixels, ConstPlanes x, Planes y,
                               bool accumulate, Stream stream) {
  PlaneWidth(pixels).with(x).with(y).dispatch([&]<int V>() {
    const PlaneGrid grid(std::int64_t{n} * c, pixels, V);
    launch("copy_planes", copy_kernel<V>, grid.shape(), stream, grid, c, pixels, x, y, accumulate);
  });
}

template <>
void average_planes_forward<Device::cuda>(int n, int c, std::int64_t pixels, ConstPlanes x,
                                          float* y, Stream stream) {
  check_count("planes", std::int64_t{n} * c);
  PlaneWidth(pixels).with(x).dispatch([&]<int V>() {
    launch("average_planes_forward", average_kernel<V>,
           {blocks_for(std::int64_t{n} * c, plane_warps), plane_threads}, stream, n * c, c, pixels,
           x, y);
  });
}

template <>
void average_planes_backward<Device::cuda>(int n, int c, std::int64_t pixels, const float* dy,
                                           Planes dx, Stream stream) {
  PlaneWidth(pixels).with(dx).dispatch([&]<int V>() {
    const PlaneGrid grid(std::int64_t{n} * c, pixels, V);
    launch("average_planes_backward", average_gradient_kernel<V>, grid.shape(), stream, grid, c,
           pixels, dy, dx);
  });
}

}  // namespace drnas::kernels
