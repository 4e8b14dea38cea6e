// SPDX-License-Identifier: MIT
// A block computes one tile of an image for one filter: its warps put depthwise outputs of a range
// of channels into shared memory, from where they go through the 1x1 filter. A second kernel merges
// the tiles' statistics.
#include "kernels/core/carver.h"
#include "kernels/core/warp_reduce.h"
#include "kernels/planes/plane_statistics.h"
#include "kernels/planes/separable_pointwise.h"

namespace drnas::kernels {
namespace {

constexpr int most_outputs = 36;  // whose weights and sums are in shared memory at once
constexpr unsigned merge_threads = 256;
constexpr int merge_outputs = 8, merge_slots = merge_threads / merge_outputs;

PixelTiles forward_tiles(const Separable& s) {
  return PixelTiles(s.out_h(), s.out_w(), PointwiseChunk(s).pixels);
}

struct ForwardScratch {
  float* moments;  // [filters, n, tiles, c_out, 2]: mean, M2
  std::size_t bytes;

  ForwardScratch(const Separable& s, void* memory) {
    Carver carve(memory);
    moments =
        carve.take<float>(std::int64_t{s.filters} * s.n * forward_tiles(s).count() * s.c_out * 2);
    bytes = carve.bytes();
  }
};

/// Places in a block's shared memory, in floats.
struct ForwardShared {
  int staging;  ///< of a warp
  int d, weights, sums, floats;

  ForwardShared(const SeparableForward& p, const PixelTiles& tiles, int held) : staging(0) {
    const Separable& s = p.shape;
    for (int f = 0; f < s.filters; ++f) {
      const int kernel = p.filter[f].kernel;
      const StripPlan plan(WindowShape::of_outputs(kernel, p.filter[f].dilation, s.stride), kernel,
                           tiles);
      staging = std::max(staging, plan.at_once * plan.floats());
    }
    const int outputs = std::min(s.c_out, most_outputs);
    d = separable_warps * staging;
    weights = d + held * tiles.area();
    sums = weights + pointwise_floats(outputs, held);
    floats = sums + pair_chunks(tiles.area()) * (3 * outputs + 1);
  }
};

struct Forward {
  SeparableForward p;
  PixelTiles tiles;
  ForwardShared shared;
  float* moments;
  int chunk;  ///< channels whose depthwise outputs are held at once
};
static_assert(sizeof(Forward) <= 4000);

/// What a warp's pixels leave of their outputs: the number of pixels, and for each output a pivot,
/// which is one of its values, and the sums of what differs from it, and of the squares.
struct PixelSums {
  float* memory;  ///< [chunks of pixels, 1 + 3 outputs]
  int outputs;

  __device__ float* of(int chunk) const { return memory + chunk * (3 * outputs + 1); }

  __device__ void leave(const PixelPair& pixels, int first,
                        const float (&z)[pointwise_outputs][2]) const {
    float part[16] = {};
    float* to = of(pixels.chunk);
    DRNAS_UNROLL
    for (int o = 0; o < pointwise_outputs; ++o) {
      const float pivot = __shfl_sync(full_warp, z[o][0], 0);
      DRNAS_UNROLL
      for (int p = 0; p < 2; ++p) {
        const float apart = pixels.active[p] ? z[o][p] - pivot : 0.0f;
        part[o] += apart;
        part[8 + o] += apart * apart;
      }
      if (lane_index() == 0 && first + o < outputs) to[1 + 3 * (first + o)] = pivot;
    }
    const float sum = warp_sums(part);
    const int index = lane_index() / 2, o = first + index % 8;
    if (lane_index() % 2 == 0 && index % 8 < pointwise_outputs && o < outputs)
      to[2 + 3 * o + index / 8] = sum;
    if (first > 0) return;
    const float count = warp_sum(static_cast<float>(int{pixels.active[0]} + int{pixels.active[1]}));
    if (lane_index() == 0) to[0] = count;
  }

  /// Mean and M2 of an output over the tile.
  __device__ void merge(int chunks, int o, float (&moments)[2]) const {
    float count = 0.0f, mean = 0.0f, m2 = 0.0f;
    for (int chunk = 0; chunk < chunks; ++chunk) {
      const float* from = of(chunk);
      const float here = from[0];
      if (here == 0.0f) continue;
      const float *sums = from + 1 + 3 * o, share = sums[1] / here, total = count + here,
                  delta = sums[0] + share - mean;
      m2 += sums[2] - sums[1] * share + delta * delta * (count * here / total);
      mean += delta * (here / total);
      count = total;
    }
    moments[0] = mean;
    moments[1] = m2 < 0.0f ? 0.0f : m2;
  }
};

/// z of outputs [o, o + outputs) over a chunk of channels; what the last chunk gives goes into the
/// statistics.
__device__ void forward_outputs(const Forward& k, const TileCorner& corner, int o, int outputs,
                                int count, bool add, bool last, float* shared, float* z) {
  const PixelSums sums{shared + k.shared.sums, outputs};
  const std::int64_t plane = k.tiles.pixels();
  pointwise_tile(k.tiles, corner, outputs, count, shared + k.shared.weights, shared + k.shared.d,
                 k.tiles.area(),
                 [&](int first, const PixelPair& pixels, float(&sum)[pointwise_outputs][2]) {
                   DRNAS_UNROLL
                   for (int v = 0; v < pointwise_outputs; ++v) {
                     float* to = z + (o + first + v) * plane;
                     DRNAS_UNROLL
                     for (int p = 0; p < 2; ++p) {
                       if (!pixels.active[p] || first + v >= outputs) continue;
                       if (add) sum[v][p] += to[pixels.offset[p]];
                       to[pixels.offset[p]] = sum[v][p];
                     }
                   }
                   if (last) sums.leave(pixels, first, sum);
                 });
}

/// Blocks (x: tiles of all images, y: filters).
template <int T, int V>
__global__ void __launch_bounds__(separable_threads, 4) forward_kernel(Forward k) {
  const Separable& s = k.p.shape;
  const int f = static_cast<int>(blockIdx.y), tiles = k.tiles.count(),
            image = static_cast<int>(blockIdx.x) / tiles;
  const TileCorner corner(k.tiles, static_cast<int>(blockIdx.x) - image * tiles);
  const SeparableFilter filter = k.p.filter[f];
  float* shared = static_cast<float*>(shared_memory());
  float* z = k.p.z[f].data + image * k.p.z[f].stride;
  float* moments = k.moments + (std::int64_t{f} * gridDim.x + blockIdx.x) * s.c_out * 2;
  for (int first = 0; first < s.c; first += k.chunk) {
    const int count = s.c - first < k.chunk ? s.c - first : k.chunk;
    const bool last = first + count == s.c && k.p.mode.training;
    dispatch_filter(filter, [&]<int K, int D>() {
      depthwise_tile<K, D, T, V>(s, filter, k.tiles, corner, image, first, count,
                                 shared + warp_index() * k.shared.staging, shared + k.shared.d,
                                 k.tiles.area());
    });
    for (int o = 0; o < s.c_out; o += most_outputs) {
      const int outputs = s.c_out - o < most_outputs ? s.c_out - o : most_outputs;
      stage_pointwise<false>(filter.pointwise + std::int64_t{o} * s.c + first, s.c, outputs, count,
                             shared + k.shared.weights);
      __syncthreads();
      forward_outputs(k, corner, o, outputs, count, first > 0, last, shared, z);
      __syncthreads();
      if (!last || static_cast<int>(threadIdx.x) >= outputs) continue;
      float merged[2];
      PixelSums{shared + k.shared.sums, outputs}.merge(pair_chunks(k.tiles.area()),
                                                       static_cast<int>(threadIdx.x), merged);
      store_vector(moments + (o + threadIdx.x) * 2, merged);
    }
  }
}

/// Sum over the block's slots of a thread's output; every thread gets it.
__device__ double sum_of_slots(double value, double* shared) {
  for (int other = merge_outputs; other < static_cast<int>(warp_lanes); other *= 2)
    value += __shfl_xor_sync(full_warp, value, other);
  const int output = lane_index() % merge_outputs;
  if (lane_index() < merge_outputs) shared[warp_index() * merge_outputs + output] = value;
  __syncthreads();
  double sum = 0;
  for (int w = 0; w < static_cast<int>(merge_threads / warp_lanes); ++w)
    sum += shared[w * merge_outputs + output];
  return sum;
}

/// Blocks (x: eight output channels, y: filters): each thread adds every 32nd image of one channel,
/// first for the mean, then for the deviations from it.
__global__ void __launch_bounds__(merge_threads) merge_kernel(Forward k) {
  const Separable& s = k.p.shape;
  const int f = static_cast<int>(blockIdx.y), t = static_cast<int>(threadIdx.x),
            o = static_cast<int>(blockIdx.x) * merge_outputs + t % merge_outputs,
            slot = t / merge_outputs;
  const PlaneStatistics& out = k.p.statistics[f];
  if (!k.p.mode.training) {
    if (slot == 0 && o < s.c_out) take_running_statistics(out, k.p.mode, o);
    return;
  }
  double* shared = static_cast<double*>(shared_memory());  // [2, warps, outputs]
  const int tiles = k.tiles.count();
  const auto each_tile = [&](const auto& body) {
    for (int tile = 0; tile < tiles && o < s.c_out; ++tile) {
      const double pixels = TileCorner(k.tiles, tile).pixels(k.tiles);
      for (int image = slot; image < s.n; image += merge_slots) {
        const std::int64_t unit = (std::int64_t{f} * s.n + image) * tiles + tile;
        float moments[2];
        load_vector(k.moments + (unit * s.c_out + o) * 2, moments);
        body(pixels, moments[0], moments[1]);
      }
    }
  };
  const double count = static_cast<double>(s.n) * static_cast<double>(k.tiles.pixels());
  double sum = 0, squares = 0;
  each_tile([&](double pixels, double mean, double) { sum += pixels * mean; });
  const double mean = sum_of_slots(sum, shared) / count;
  each_tile([&](double pixels, double tile_mean, double m2) {
    squares += m2 + pixels * (tile_mean - mean) * (tile_mean - mean);
  });
  squares = sum_of_slots(squares, shared + merge_threads / warp_lanes * merge_outputs);
  if (slot == 0 && o < s.c_out) finish_statistics({count, mean, squares}, out, k.p.mode, o);
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
  const PixelTiles tiles = forward_tiles(s);
  const int chunk = PointwiseChunk(s).channels;
  const Forward k{p, tiles, ForwardShared(p, tiles, std::min(s.c, chunk)),
                  ForwardScratch(s, workspace).moments, chunk};
  const unsigned filters = static_cast<unsigned>(s.filters);
  const LaunchShape shape{std::int64_t{s.n} * tiles.count(), separable_threads,
                          sizeof(float) * k.shared.floats, filters};
  bool vectors = s.w % 4 == 0;
  for (int f = 0; f < s.filters; ++f)
    vectors = vectors && aligned_for(4, p.filter[f].in.x.data) && p.filter[f].in.x.stride % 4 == 0;
  const auto run = [&](auto kernel) { launch("separable_forward", kernel, shape, stream, k); };
  if (s.stride == 1)
    vectors ? run(forward_kernel<1, 4>) : run(forward_kernel<1, 1>);
  else
    vectors ? run(forward_kernel<2, 4>) : run(forward_kernel<2, 1>);
  launch("separable_merge", merge_kernel,
         {blocks_for(s.c_out, merge_outputs), merge_threads,
          2 * sizeof(double) * merge_threads / warp_lanes * merge_outputs, filters},
         stream, k);
}

}  // namespace drnas::kernels
