// SPDX-License-Identifier: MIT
#include "kernels/bundle/bundle_statistics.h"
#include "kernels/bundle/bundle_tile_forward.h"
#include "kernels/bundle/conv_bundle_device.h"
#include "kernels/core/arrival.h"
#include "kernels/core/carver.h"

namespace drnas::kernels {
namespace {

/// How the channel statistics of one size are split: a block takes `block_pixels` adjacent pixels
/// of one tile of channels, its threads `rows` pixels at a time and four channels each.
struct StatisticsSplit {
  static constexpr int most_blocks = 128, tile_groups = 16;
  static constexpr int chunk = 8;  ///< pixels that a thread holds at a time

  int z_channels = 0, groups = 0, tiles = 0, rows = 0, blocks = 0;
  std::int64_t pixels = 0, block_pixels = 0;

  StatisticsSplit() = default;
  StatisticsSplit(const ConvBundle& b, int size)
      : z_channels(b.z_channels(size)), pixels(b.pixels()) {
    tiles = static_cast<int>(blocks_for(z_channels / 4, tile_groups));
    groups = static_cast<int>(blocks_for(z_channels / 4, tiles));
    rows = static_cast<int>(bundle_threads) / groups;
    const std::int64_t wanted =
        std::clamp<std::int64_t>(blocks_for(pixels, rows * chunk), 1, most_blocks);
    block_pixels = blocks_for(pixels, wanted);
    blocks = static_cast<int>(blocks_for(pixels, block_pixels));
  }
  DRNAS_HD int channels() const { return 4 * groups; }
  DRNAS_HD int pixels_of(int block) const {
    const std::int64_t left = pixels - block * block_pixels;
    return static_cast<int>(left < block_pixels ? left : block_pixels);
  }
};

using Counters = ArrivalCounters<4096>;
__device__ Counters counters;  // of the statistics' tiles

/// What a block's pixels, or a row of its threads, leave of one channel.
struct alignas(8) Part {
  float mean, m2;
};

template <class T>
struct ForwardScratch {
  T *u, *packed[ConvBundle::max_sizes] = {};
  void* convolution;
  StatisticsSplit split[ConvBundle::max_sizes];
  int tiles = 0;                         // of all sizes
  Part* parts[ConvBundle::max_sizes]{};  // [blocks, z_channels]
  std::size_t bytes;

  ForwardScratch(const PaddedBundle<T>& p, void* memory) {
    Carver carve(memory);
    u = carve.take<T>(p.u_count());
    for (int s = 0; s < p.bundle.sizes; ++s) packed[s] = carve.take<T>(p.packed_count(s));
    convolution = carve.take<std::byte>(p.convolution_bytes(ConvPass::forward));
    for (int s = 0; s < p.bundle.sizes; ++s) {
      split[s] = StatisticsSplit(p.bundle, s);
      tiles += split[s].tiles;
      parts[s] = carve.take<Part>(std::int64_t{split[s].blocks} * split[s].z_channels);
    }
    if (tiles > Counters::size)
      throw Error("conv_bundle: " + std::to_string(p.bundle.c) + " mixed channels, expected fewer");
    bytes = carve.bytes();
  }
};

/// The rectified input of the convolutions, one thread for V channels of u [pixels, c_pad]; after
/// it blocks that pack weights. All leave where no convolution runs: what the library then makes of
/// u is not read.
template <class T, int V>
__global__ void __launch_bounds__(bundle_threads)
    rectify_kernel(ConvBundle b, const T* x, T* u, unsigned items, int groups,
                   WeightPacking<T> packing, BundleGates gates) {
  if (!gates.any(b)) return;
  const std::int64_t item = global_thread();
  const unsigned blocks = (items + bundle_threads - 1) / bundle_threads;
  if (blockIdx.x >= blocks) {
    pack_weight(packing, item - std::int64_t{blocks} * bundle_threads);
    return;
  }
  if (item < items) rectify_item<V>(b, x, u, item, groups);
}

template <class T>
struct Statistics {
  ConvBundleForwardOf<T> p;
  StatisticsSplit split[ConvBundle::max_sizes];
  Part* parts[ConvBundle::max_sizes];
};
static_assert(ConvBundle::max_sizes == 2);

/// (count, mean, M2) of four channels.
struct Moments {
  float count = 0;
  Channels<4> mean = {}, m2 = {};

  /// Adds `present` (1 to chunk) pixels `stride` values apart: their mean, then their squares
  /// around it, then both merged (Chan et al. 1983).
  template <class T>
  __device__ void add(const T* z, std::int64_t stride, int present) {
    Channels<4> value[StatisticsSplit::chunk], sum = {}, squares = {};
    for (int k = 0; k < StatisticsSplit::chunk; ++k)
      value[k] = k < present ? load_channels<4>(z + k * stride) : Channels<4>{};
    for (int k = 0; k < StatisticsSplit::chunk; ++k) sum += value[k];
    const float added = static_cast<float>(present), inverse = 1.0f / added;
    for (int i = 0; i < 4; ++i) sum.v[i] *= inverse;
    for (int k = 0; k < StatisticsSplit::chunk; ++k)
      for (int i = 0; i < 4; ++i) {
        const float d = k < present ? value[k].v[i] - sum.v[i] : 0.0f;
        squares.v[i] += d * d;
      }
    const float share = added / (count + added);
    for (int i = 0; i < 4; ++i) {
      const float delta = sum.v[i] - mean.v[i];
      mean.v[i] += delta * share;
      m2.v[i] += squares.v[i] + delta * delta * count * share;
    }
    count += added;
  }
};

/// A block's shared memory.
struct StatisticsMemory {
  double sums[2 * bundle_threads];
  Vector<float, 4> mean[bundle_threads], m2[bundle_threads];  // [rows, channels]
  float count[bundle_threads];                                // [rows]
  unsigned last;
};

/// Merges (count, mean, M2) of `parts` parts in double, relative to the first part's mean and in an
/// order that depends on the shape alone. `part(i, channel)` gives M2 and mean, `count(i)` the
/// count. The result is right in threads below `channels`.
template <class PartOf, class CountOf>
__device__ Merged merge_parts(int parts, int channels, double total, double* sums,
                              const PartOf& part, const CountOf& count) {
  const int thread = threadIdx.x, channel = thread % channels, segment = thread / channels,
            segments = static_cast<int>(bundle_threads) / channels;
  const double shift = part(0, channel).mean;
  double first = 0, second = 0;
  if (segment < segments) {
    for (int i = segment; i < parts; i += segments) {
      const Part values = part(i, channel);
      const double n = count(i), delta = values.mean - shift;
      first += n * delta;
      second += values.m2 + n * delta * delta;
    }
    sums[2 * thread] = first;
    sums[2 * thread + 1] = second;
  }
  __syncthreads();
  if (segment > 0) return {};
  for (int s = 1; s < segments; ++s) {
    first += sums[2 * (s * channels + channel)];
    second += sums[2 * (s * channels + channel) + 1];
  }
  const double m2 = second - first * first / total;
  return {shift + first / total, m2 < 0 ? 0.0 : m2};  // a NaN stays
}

/// This thread's moments of its four channels of one size over the block's pixels; where none of
/// them runs the pixels' number alone.
template <class T>
__device__ Moments thread_moments(const Statistics<T>& k, int s, int tile, int pixels) {
  const StatisticsSplit& split = k.split[s];
  const int group = threadIdx.x % split.groups, row = threadIdx.x / split.groups,
            channel = tile * split.channels() + 4 * group;
  Moments moments;
  if (row >= split.rows || channel >= split.z_channels) return moments;
  if (!k.p.gates.open_rows(k.p.bundle, s, channel, channel + 4)) {
    if (row < pixels)
      moments.count = static_cast<float>((pixels - row + split.rows - 1) / split.rows);
    return moments;
  }
  const T* z = k.p.z[s] + blockIdx.x * split.block_pixels * split.z_channels + channel;
  for (int first = row; first < pixels; first += StatisticsSplit::chunk * split.rows) {
    const int present = (pixels - first + split.rows - 1) / split.rows;
    moments.add(z + std::int64_t{first} * split.z_channels,
                std::int64_t{split.rows} * split.z_channels,
                present < StatisticsSplit::chunk ? present : StatisticsSplit::chunk);
  }
  return moments;
}

/// Grid (most blocks of a size, tiles of all sizes). Every block leaves one part a channel; of each
/// size and tile the block that arrives last merges them. Those of tiles that do not run leave.
template <class T>
__global__ void __launch_bounds__(bundle_threads) statistics_kernel(Statistics<T> k) {
  StatisticsMemory& memory = *static_cast<StatisticsMemory*>(shared_memory());
  const int s = static_cast<int>(blockIdx.y) < k.split[0].tiles ? 0 : 1;
  const StatisticsSplit& split = k.split[s];
  if (static_cast<int>(blockIdx.x) >= split.blocks) return;
  const int tile = blockIdx.y - (s == 0 ? 0 : k.split[0].tiles), thread = threadIdx.x,
            channels = split.channels(), pixels = split.pixels_of(blockIdx.x),
            channel = tile * channels + thread, rows = k.p.bundle.rows(s);
  const bool stores = thread < channels && channel < rows;
  if (!k.p.gates.open_rows(k.p.bundle, s, tile * channels, (tile + 1) * channels)) {
    if (blockIdx.x == 0 && stores) rest(k.p, s, channel);
    return;
  }
  {
    const Moments moments = thread_moments(k, s, tile, pixels);
    store_channels(memory.mean[thread].element, moments.mean);
    store_channels(memory.m2[thread].element, moments.m2);
    if (thread % split.groups == 0) memory.count[thread / split.groups] = moments.count;
  }
  __syncthreads();
  const float *means = memory.mean[0].element, *squares = memory.m2[0].element;
  const Merged block = merge_parts(
      split.rows, channels, pixels, memory.sums,
      [&](int row, int ch) {
        return Part{means[row * channels + ch], squares[row * channels + ch]};
      },
      [&](int row) { return memory.count[row]; });
  Part* parts = k.parts[s] + tile * channels;
  const int here = split.z_channels - tile * channels;  // channels from this tile on
  if (thread < channels && thread < here)
    parts[std::int64_t{blockIdx.x} * split.z_channels + thread] = {static_cast<float>(block.mean),
                                                                   static_cast<float>(block.m2)};
  if (!arrives_last(counters.counter + blockIdx.y, split.blocks, &memory.last)) return;
  const double total = static_cast<double>(split.pixels);
  const Merged all = merge_parts(
      split.blocks, channels, total, memory.sums,
      [&](int i, int ch) {
        return ch < here ? parts[std::int64_t{i} * split.z_channels + ch] : Part{};
      },
      [&](int i) { return split.pixels_of(i); });
  if (stores) store_statistics(k.p, s, channel, total, all);
}

/// Evaluation: mean and inv_std from the running statistics, one thread a channel and size.
template <class T>
__global__ void running_kernel(ConvBundleForwardOf<T> p) {
  const int channel = static_cast<int>(global_thread()), s = blockIdx.y;
  if (channel >= p.bundle.rows(s)) return;
  load_statistics(p, s, channel);
}

template <class T>
void rectify(const ConvBundleForwardOf<T>& p, const PaddedBundle<T>& padded,
             const ForwardScratch<T>& scratch, Stream stream) {
  const WeightPacking<T> packing = pack_weights(padded, p.weight, scratch.packed);
  dispatch_channels<widest<T>>(p.bundle.c, [&]<int V>() {
    const std::int64_t items = padded.u_count() / V;
    launch("conv_bundle_rectify", rectify_kernel<T, V>,
           {blocks_for(items, bundle_threads) + packing.blocks(), bundle_threads}, stream, p.bundle,
           p.x, scratch.u, static_cast<unsigned>(items), padded.c_pad / V, packing, p.gates);
  });
}

template <class T>
void normalise(const ConvBundleForwardOf<T>& p, const ForwardScratch<T>& scratch, Stream stream) {
  const ConvBundle& b = p.bundle;
  if (!p.training) {
    constexpr unsigned threads = 128;
    int rows = 0;
    for (int s = 0; s < b.sizes; ++s) rows = std::max(rows, b.rows(s));
    launch("conv_bundle_running", running_kernel<T>,
           {blocks_for(rows, threads), threads, 0, static_cast<unsigned>(b.sizes)}, stream, p);
    return;
  }
  Statistics<T> k{p, {}, {}};
  std::copy_n(scratch.split, b.sizes, k.split);
  std::copy_n(scratch.parts, b.sizes, k.parts);
  launch("conv_bundle_statistics", statistics_kernel<T>,
         {std::max(k.split[0].blocks, k.split[1].blocks), bundle_threads, sizeof(StatisticsMemory),
          static_cast<unsigned>(scratch.tiles)},
         stream, k);
}

template <class T>
void forward(const ConvBundleForwardOf<T>& p, void* workspace, Stream stream) {
  if (p.bundle.sizes == 0) return;
  const PaddedBundle<T> padded(p.bundle);
  if (runs_bundle_tiles<T>(p.bundle)) return bundle_tile_forward(p, workspace, stream);
  const ForwardScratch<T> scratch(padded, workspace);
  rectify(p, padded, scratch, stream);
  for (int s = 0; s < p.bundle.sizes; ++s)
    convolve<T>(ConvPass::forward, padded.conv(s), scratch.u,
                padded.weight(p.weight[s], scratch.packed[s]), p.z[s], scratch.convolution, stream);
  normalise(p, scratch, stream);
}

template <class T>
std::size_t forward_bytes(const ConvBundle& b) {
  if (b.sizes == 0) return 0;
  const PaddedBundle<T> padded(b);
  return runs_bundle_tiles<T>(b) ? bundle_tile_forward_workspace<T>(b)
                                 : ForwardScratch<T>(padded, nullptr).bytes;
}

}  // namespace

template <>
std::size_t conv_bundle_forward_workspace<Device::cuda>(const ConvBundle& p) {
  return forward_bytes<float>(p);
}
template <>
void conv_bundle_forward<Device::cuda>(const ConvBundleForward& p, void* workspace, Stream stream) {
  forward(p, workspace, stream);
}
template <>
std::size_t conv_bundle_forward_workspace_bfloat16<Device::cuda>(const ConvBundle& p) {
  return forward_bytes<bfloat16>(p);
}
template <>
void conv_bundle_forward<Device::cuda>(const ConvBundleForwardOf<bfloat16>& p, void* workspace,
                                       Stream stream) {
  forward(p, workspace, stream);
}

}  // namespace drnas::kernels
