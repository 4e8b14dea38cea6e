// SPDX-License-Identifier: MIT
// A block computes one tile of an image for one filter, a thread a pixel: the depthwise outputs of
// a range of channels go to shared memory, and from there through the 1x1 filter. A second kernel
// merges the tiles' statistics.
#include "kernels/core/carver.h"
#include "kernels/core/cuda_vector.h"
#include "kernels/core/warp_reduce.h"
#include "kernels/planes/separable_device.h"

namespace drnas::kernels {
namespace {

constexpr int depthwise_floats = 8192;  // of shared memory
constexpr int outputs = 6;              // that a thread sums at once
constexpr unsigned merge_threads = 128;

struct ForwardScratch {
  float* moments;  // [filters, n * tiles, 2, c_out]: mean, M2
  std::size_t bytes;

  ForwardScratch(const Separable& s, void* memory) {
    Carver carve(memory);
    moments = carve.take<float>(std::int64_t{s.filters} * s.n *
                                PixelTiles(s.out_h(), s.out_w()).count() * 2 * s.c_out);
    bytes = carve.bytes();
  }
};

struct Forward {
  SeparableForward p;
  PixelTiles tiles;
  float* moments;
  int chunk;  ///< channels whose depthwise outputs are held at once
};
static_assert(sizeof(Forward) <= 4000);

/// z of the thread's pixel, all outputs, over the chunk [first, first + count) of channels.
template <int V>
__device__ void pointwise_pixel(const Separable& s, const float* pointwise, int first, int count,
                                const float* d, float* z, std::int64_t plane) {
  for (int o = 0; o < s.c_out; o += outputs) {
    float sum[outputs] = {};
    for (int ch = 0; ch < count; ch += V) {
      float value[V];
      for (int v = 0; v < V; ++v) value[v] = d[(ch + v) * static_cast<int>(blockDim.x)];
      for (int k = 0; k < outputs; ++k) {
        const int row = o + k < s.c_out ? o + k : s.c_out - 1;
        float weight[V];
        load_vector(pointwise + std::int64_t{row} * s.c + first + ch, weight);
        for (int v = 0; v < V; ++v) sum[k] += weight[v] * value[v];
      }
    }
    for (int k = 0; k < outputs; ++k)
      if (o + k < s.c_out) z[(o + k) * plane] = first > 0 ? z[(o + k) * plane] + sum[k] : sum[k];
  }
}

/// Mean and M2 of the tile's outputs; every warp takes output channels of its own.
__device__ void tile_moments(const PixelTiles& t, int tile, int c_out, const float* z,
                             float* moments) {
  const int lane = static_cast<int>(threadIdx.x % warp_lanes),
            threads = static_cast<int>(blockDim.x);
  const float share = 1.0f / static_cast<float>(tile_pixels(t, tile));
  for (int o = static_cast<int>(threadIdx.x / warp_lanes); o < c_out;
       o += threads / static_cast<int>(warp_lanes)) {
    const float* plane = z + o * t.pixels();
    float sum = 0.0f, squares = 0.0f;
    for (int k = lane; k < threads; k += static_cast<int>(warp_lanes)) {
      const TilePixel pixel(t, tile, k);
      if (pixel.active) sum += plane[pixel.offset];
    }
    const float mean = warp_sum(sum) * share;
    for (int k = lane; k < threads; k += static_cast<int>(warp_lanes)) {
      const TilePixel pixel(t, tile, k);
      const float deviation = pixel.active ? plane[pixel.offset] - mean : 0.0f;
      squares += deviation * deviation;
    }
    squares = warp_sum(squares);
    if (lane > 0) continue;
    moments[o] = mean;
    moments[c_out + o] = squares;
  }
}

/// Blocks (x: tiles of all images, y: filters).
template <int V>
__global__ void __launch_bounds__(128, 4) forward_kernel(Forward k) {
  const Separable& s = k.p.shape;
  const int f = static_cast<int>(blockIdx.y), tiles = k.tiles.count();
  const int image = static_cast<int>(blockIdx.x) / tiles,
            tile = static_cast<int>(blockIdx.x) - image * tiles;
  const SeparableFilter filter = k.p.filter[f];
  const TilePixel pixel(k.tiles, tile, static_cast<int>(threadIdx.x));
  float* staging = static_cast<float*>(shared_memory());
  float* d = staging + staging_floats;
  float* z = k.p.z[f].data + image * k.p.z[f].stride;
  for (int first = 0; first < s.c; first += k.chunk) {
    const int count = s.c - first < k.chunk ? s.c - first : k.chunk;
    depthwise_tile(s, filter, k.tiles, pixel, image, first, count, staging, d,
                   static_cast<int>(blockDim.x));
    if (pixel.active)
      pointwise_pixel<V>(s, filter.pointwise, first, count, d + threadIdx.x, z + pixel.offset,
                         k.tiles.pixels());
  }
  if (!k.p.mode.training) return;
  __syncthreads();
  const std::int64_t unit = std::int64_t{f} * s.n * tiles + blockIdx.x;
  tile_moments(k.tiles, tile, s.c_out, z, k.moments + unit * 2 * s.c_out);
}

/// Count, mean and M2 of some pixels (Chan et al. 1983).
struct Moments {
  double count = 0, mean = 0, m2 = 0;

  __device__ void merge(const Moments& other) {
    const double total = count + other.count;
    if (!(total > 0)) return;
    const double delta = other.mean - mean, share = other.count / total;
    mean += delta * share;
    m2 += other.m2 + delta * delta * count * share;
    count = total;
  }
};

/// Blocks (x: output channels, y: filters): each thread merges every 128th tile, then a tree.
__global__ void __launch_bounds__(merge_threads) merge_kernel(Forward k) {
  const Separable& s = k.p.shape;
  const int f = static_cast<int>(blockIdx.y), o = static_cast<int>(blockIdx.x),
            t = static_cast<int>(threadIdx.x);
  Moments* shared = static_cast<Moments*>(shared_memory());
  Moments total;
  const int tiles = k.tiles.count(), units = k.p.mode.training ? s.n * tiles : 0;
  for (int unit = t; unit < units; unit += merge_threads) {
    const float* from = k.moments + (std::int64_t{f} * units + unit) * 2 * s.c_out + o;
    Moments other;
    other.count = tile_pixels(k.tiles, unit % tiles);
    other.mean = from[0];
    other.m2 = from[s.c_out];
    total.merge(other);
  }
  shared[t] = total;
  for (int distance = merge_threads / 2; distance > 0; distance /= 2) {
    __syncthreads();
    if (t < distance) shared[t].merge(shared[t + distance]);
  }
  if (t > 0) return;
  const PlaneStatistics& out = k.p.statistics[f];
  total = shared[0];
  if (!k.p.mode.training) {
    out.mean[o] = out.running_mean[o];
    out.inv_std[o] =
        static_cast<float>(1.0 / sqrt(static_cast<double>(out.running_var[o]) + k.p.mode.eps));
    return;
  }
  out.mean[o] = static_cast<float>(total.mean);
  out.inv_std[o] = static_cast<float>(1.0 / sqrt(total.m2 / total.count + k.p.mode.eps));
  if (!out.running_mean) return;
  const double keep = 1.0 - k.p.mode.momentum, move = k.p.mode.momentum,
               unbiased = total.m2 / (total.count > 2 ? total.count - 1 : 1.0);
  out.running_mean[o] = static_cast<float>(keep * out.running_mean[o] + move * total.mean);
  out.running_var[o] = static_cast<float>(keep * out.running_var[o] + move * unbiased);
}

}  // namespace

template <>
std::size_t separable_forward_workspace<Device::cuda>(const Separable& p) {
  return ForwardScratch(p, nullptr).bytes;
}

template <>
void separable_forward<Device::cuda>(const SeparableForward& p, void* workspace, Stream stream) {
  const Separable& s = p.shape;
  check_separable(s, p.filter);
  Forward k{p, PixelTiles(s.out_h(), s.out_w()), ForwardScratch(s, workspace).moments, 0};
  k.chunk = depthwise_floats / static_cast<int>(k.tiles.threads) / 4 * 4;
  const int held = std::min(s.c, k.chunk);
  const LaunchShape shape{std::int64_t{s.n} * k.tiles.count(), k.tiles.threads,
                          sizeof(float) * (staging_floats + held * k.tiles.threads),
                          static_cast<unsigned>(s.filters)};
  bool aligned = true;
  for (int f = 0; f < s.filters; ++f) aligned = aligned && aligned_for(4, p.filter[f].pointwise);
  dispatch_vectors(aligned ? s.c : 1, [&]<int V>() {
    launch("separable_forward", forward_kernel<V>, shape, stream, k);
  });
  launch(
      "separable_merge", merge_kernel,
      {s.c_out, merge_threads, merge_threads * sizeof(Moments), static_cast<unsigned>(s.filters)},
      stream, k);
}

}  // namespace drnas::kernels
