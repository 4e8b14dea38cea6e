// SPDX-License-Identifier: MIT
// A block computes one tile of an image for one filter: its warps put depthwise outputs of a range
// of channels into shared memory, from where they go through the 1x1 filter. The last block of a
// filter merges the tiles' statistics.
#include "kernels/core/carver.h"
#include "kernels/core/warp_reduce.h"
#include "kernels/planes/plane_statistics.h"
#include "kernels/planes/separable_finish.h"
#include "kernels/planes/separable_pointwise.h"

namespace drnas::kernels {
namespace {

constexpr int most_outputs = 36;  // whose weights and sums are in shared memory at once

__device__ FilterCounters arrived;

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
    floats = std::max(floats, static_cast<int>(FinishShared::bytes / sizeof(float)));
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

/// Statistics of a filter's outputs from those of all tiles, whose means and squares are taken
/// about the first tile's mean. By one block.
__device__ void merge_tiles(const Forward& k, int f, double* shared) {
  const Separable& s = k.p.shape;
  const int tiles = k.tiles.count();
  const double count = static_cast<double>(s.n) * static_cast<double>(k.tiles.pixels());
  const float* moments = k.moments + std::int64_t{f} * s.n * tiles * s.c_out * 2;
  finish_each_column(
      s.c_out, shared,
      [&](int o, int row, double(&sums)[2]) {
        const double pivot = moments[2 * o];
        for (int tile = 0; tile < tiles; ++tile) {
          const double pixels = TileCorner(k.tiles, tile).pixels(k.tiles);
          for (int image = row; image < s.n; image += finish_rows) {
            float found[2];
            load_vector(moments + ((std::int64_t{image} * tiles + tile) * s.c_out + o) * 2, found);
            const double apart = found[0] - pivot, weighted = pixels * apart;
            sums[0] += weighted;
            sums[1] += found[1] + weighted * apart;
          }
        }
      },
      [&](int o, const double(&sums)[2]) {
        const double share = sums[0] / count, m2 = sums[1] - sums[0] * share;
        finish_statistics({count, moments[2 * o] + share, m2 < 0 ? 0 : m2}, k.p.statistics[f],
                          k.p.mode, o);
      });
}

/// Blocks of a multiprocessor: more registers for each where the compiler would spill.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1200
constexpr int resident_blocks = 4;
#else
constexpr int resident_blocks = 5;
#endif

/// Blocks (x: tiles of all images, y: filters); those of a filter that does not run leave.
template <int T, int V>
__global__ void __launch_bounds__(separable_threads, resident_blocks) forward_kernel(Forward k) {
  const Separable& s = k.p.shape;
  const int f = static_cast<int>(blockIdx.y), tiles = k.tiles.count(),
            image = static_cast<int>(blockIdx.x) / tiles;
  if (!gate_open(k.p.statistics[f].gate)) {
    for (int o = threadIdx.x; o < s.c_out && blockIdx.x == 0; o += separable_threads)
      rest(k.p.statistics[f], o);
    return;
  }
  const TileCorner corner(k.tiles, static_cast<int>(blockIdx.x) - image * tiles);
  const SeparableFilter filter = k.p.filter[f];
  float* shared = static_cast<float*>(shared_memory());
  float* z = k.p.z[f].data + image * k.p.z[f].stride;
  float* moments = k.moments + (std::int64_t{f} * gridDim.x + blockIdx.x) * s.c_out * 2;
  if (!k.p.mode.training && blockIdx.x == 0)
    for (int o = threadIdx.x; o < s.c_out; o += separable_threads)
      take_running_statistics(k.p.statistics[f], k.p.mode, o);
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
  if (!k.p.mode.training) return;
  const FinishShared finish;
  if (arrives_last(arrived.counter + f, gridDim.x, finish.last)) merge_tiles(k, f, finish.sums);
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
}

}  // namespace drnas::kernels
