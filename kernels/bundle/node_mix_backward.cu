// SPDX-License-Identifier: MIT
#include "kernels/bundle/node_mix_device.h"
#include "kernels/bundle/node_mix_finish.h"

namespace drnas::kernels {
namespace {

using namespace node_mix_device;

constexpr int warps = threads / static_cast<int>(warp_lanes);
/// Terms whose sums are added up across a block at a time: max_chunk channels of them are at most
/// one number a thread.
template <int V>
constexpr int batch = V == 8 ? 2 : 4;
/// Shared memory of a block of the first kernel; k channels of the chunk.
template <int V>
struct Memory {
  float* scratch;        ///< dy with one pixel around it, later sums [slots, batch, k]
  double* term_total;    ///< [terms + 1, k]
  double* source_total;  ///< [2, sources]
  float* mean;           ///< [terms, k]
  float* shared_sums;    ///< [threads]
  float* warp_sums;      ///< [2, sources, warps]

  template <class T>
  __device__ Memory(const NodeMixOf<T>& p, const Tiling& t, void* memory)
      : scratch(static_cast<float*>(memory)),
        term_total(reinterpret_cast<double*>(scratch + scratch_floats(t))),
        source_total(term_total + (p.terms + 1) * t.chunk),
        mean(reinterpret_cast<float*>(source_total + 2 * p.sources)),
        shared_sums(mean + p.terms * t.chunk),
        warp_sums(shared_sums + threads) {}
  /// A multiple of four.
  DRNAS_HD static int scratch_floats(const Tiling& t) {
    const int sums = threads * V * batch<V>, halo = (t.halo_floats() + 3) / 4 * 4;
    return sums > halo ? sums : halo;
  }
  template <class T>
  static std::size_t bytes(const NodeMixOf<T>& p, const Tiling& t) {
    return sizeof(double) * ((p.terms + 1) * t.chunk + 2 * p.sources) +
           sizeof(float) *
               (scratch_floats(t) + p.terms * t.chunk + threads + 2 * p.sources * warps);
  }
};

/// The block's channels of dy in one pixel, from their places in the shuffle.
template <int V, class T>
__device__ Floats<V> load_gradient(const NodeMixBackwardOf<T>& b, int pixel, int channel) {
  const int parts = b.mix.parts();
  const T* from = b.dy + offset_of(pixel, b.mix.channels) + channel * parts;
  if (parts == 1) return load<V>(from);
  Floats<V> values;
  DRNAS_MIX_UNROLL
  for (int k = 0; k < V; ++k) values.lane[k] = static_cast<float>(from[k * parts]);
  return values;
}

/// P^T(dy) around the middle of a 3x3 window: every dy over the number of pixels in its window.
template <int V>
__device__ Floats<V> spread(const float* corner, int pitch, int k, int row, int column, int h,
                            int w) {
  Floats<V> sum;
  DRNAS_MIX_UNROLL
  for (int i = 0; i < 3; ++i) {
    Floats<V> line;
    DRNAS_MIX_UNROLL
    for (int j = 0; j < 3; ++j)
      add_weighted(line, window_share(column + j - 1, w), load<V>(corner + i * pitch + j * k));
    add_weighted(sum, window_share(row + i - 1, h), line);
  }
  return sum;
}

/// What a thread holds of a tile: dy and P^T(dy) of its pixels, zero beyond the last.
template <int V>
struct Held {
  static constexpr int pixels = held_pixels(V);

  int pixel[pixels];  ///< -1 beyond the last
  Floats<V> dy[pixels], spread[pixels];
};

template <int V, class T>
__device__ void hold(const NodeMixBackwardOf<T>& b, const Tiling& tiling, const Tile& tile,
                     const Share& share, const float* halo, Held<V>& out) {
  const NodeMixOf<T>& p = b.mix;
  const int at = share.group * V, pitch = (tile.columns + 2) * share.count;
  PixelWalk walk(share.slot, share.slots, tile.columns);
  DRNAS_MIX_UNROLL
  for (int q = 0; q < Held<V>::pixels; ++q, walk.advance()) {
    const bool inside = !share.idle() && share.slot + q * share.slots < tile.pixels();
    const int row = tile.row + walk.row, column = tile.column + walk.column;
    out.pixel[q] = inside ? tile.first_pixel + row * p.w + column : -1;
    out.dy[q] = out.spread[q] = {};
    if (!inside) continue;
    if (tiling.pools) {
      const float* corner = halo + walk.row * pitch + walk.column * share.count + at;
      out.dy[q] = load<V>(corner + pitch + share.count);
      out.spread[q] = spread<V>(corner, pitch, share.count, row, column, p.h, p.w);
    } else {
      out.dy[q] = load_gradient<V>(b, out.pixel[q], share.first + at);
    }
  }
}

__device__ inline float add_up_warp(float value) {
  for (int other = warp_lanes / 2; other > 0; other /= 2)
    value += __shfl_xor_sync(full_warp, value, other);
  return value;
}

/// Sums of dy x and P^T(dy) x over each warp.
template <int V, class T>
__device__ void reduce_sources(const NodeMixOf<T>& p, const Share& share, const Held<V>& own,
                               float* warp_sums) {
  const int channel = share.first + share.group * V, warp = threadIdx.x / warp_lanes;
  for (int s = 0; s < p.sources; ++s) {
    const bool read = p.source[s].skip_theta >= 0 || p.source[s].pool_theta >= 0;
    float skip = 0.0f, pool = 0.0f;
    DRNAS_MIX_UNROLL
    for (int q = 0; q < Held<V>::pixels; ++q) {
      if (own.pixel[q] < 0 || !read) continue;
      const auto x = load<V>(p.source[s].x + offset_of(own.pixel[q], p.channels) + channel);
      skip += dot(own.dy[q], x);
      pool += dot(own.spread[q], x);
    }
    skip = add_up_warp(skip);
    pool = add_up_warp(pool);
    if (threadIdx.x % warp_lanes != 0) continue;
    warp_sums[s * warps + warp] = skip;
    warp_sums[(p.sources + s) * warps + warp] = pool;
  }
}

/// Adds the warps' sums, in float64.
__device__ inline void add_sources(int sources, const float* warp_sums, double* total) {
  const int i = threadIdx.x;
  if (i >= 2 * sources) return;
  double sum = 0.0;
  for (int warp = 0; warp < warps; ++warp) sum += warp_sums[i * warps + warp];
  total[i] += sum;
}

/// A thread's part of the sum of term t, or of dy where t is the number of terms.
template <int V, class T>
__device__ Floats<V> sum_term(const NodeMixOf<T>& p, const Share& share, const Held<V>& own,
                              const float* mean, int t) {
  Floats<V> sum;
  if (t == p.terms) {
    DRNAS_MIX_UNROLL
    for (int q = 0; q < Held<V>::pixels; ++q) add(sum, own.dy[q]);
    return sum;
  }
  const NodeMixTermOf<T>& term = p.term[t];
  const Floats<V> middle = load<V>(mean + t * share.count + share.group * V);
  const T* z = term.z + share.first + share.group * V;
  DRNAS_MIX_UNROLL
  for (int q = 0; q < Held<V>::pixels; ++q) {
    if (own.pixel[q] < 0) continue;
    const Floats<V> values = load<V>(z + offset_of(own.pixel[q], term.z_stride));
    DRNAS_MIX_UNROLL
    for (int k = 0; k < V; ++k)
      sum.lane[k] += own.dy[q].lane[k] * (values.lane[k] - middle.lane[k]);
  }
  return sum;
}

/// Adds rows [slots, sums] up, some of them a thread in float32, then all in float64; adds the
/// results to total. Every thread of the block takes part, and waits until the rows are there.
__device__ inline void add_rows(const float* rows, int slots, int sums, float* shared_sums,
                                double* total) {
  const int shares = min_of(threads / sums, max_shares), i = threadIdx.x;
  __syncthreads();
  if (i < sums * shares) {
    float sum = 0.0f;
    for (int slot = i / sums; slot < slots; slot += shares) sum += rows[slot * sums + i % sums];
    shared_sums[i] = sum;
  }
  __syncthreads();
  if (i >= sums) return;
  double sum = 0.0;
  for (int k = 0; k < shares; ++k) sum += shared_sums[k * sums + i];
  total[i] += sum;
}

/// All sums of one tile.
template <int V, class T>
__device__ void reduce_tile(const NodeMixBackwardOf<T>& b, const Tiling& tiling, const Tile& tile,
                            const Share& share, const Memory<V>& memory) {
  const NodeMixOf<T>& p = b.mix;
  if (tiling.pools) {
    fill_halo<V>(p.h, p.w, tile, share, memory.scratch, [&](int pixel) {
      return load_gradient<V>(b, pixel, share.first + share.group * V);
    });
    __syncthreads();
  }
  Held<V> own;
  hold(b, tiling, tile, share, memory.scratch, own);
  if (b.dtheta) reduce_sources(p, share, own, memory.warp_sums);
  __syncthreads();
  if (b.dtheta) add_sources(p.sources, memory.warp_sums, memory.source_total);
  for (int first = 0; first <= p.terms; first += batch<V>) {
    const int terms = min_of(batch<V>, p.terms + 1 - first), sums = terms * share.count;
    for (int k = 0; k < terms && !share.idle(); ++k)
      store<V>(memory.scratch + share.slot * sums + k * share.count + share.group * V,
               sum_term(p, share, own, memory.mean, first + k));
    add_rows(memory.scratch, share.slots, sums, memory.shared_sums,
             memory.term_total + first * share.count);
  }
}

/// A block adds up its tiles (blockIdx.x, blockIdx.x + gridDim.x, ...) for one chunk of channels.
template <int V, class T>
__global__ __launch_bounds__(threads, 2) void reduce_kernel(NodeMixBackwardOf<T> b, Tiling tiling,
                                                            Partials out) {
  const NodeMixOf<T>& p = b.mix;
  const Memory<V> memory(p, tiling, shared_memory());
  const Share share(p.c, tiling.chunk, V);
  const int sums = (p.terms + 1) * share.count;
  if (blockIdx.x == 0 && blockIdx.y == 0 && threadIdx.x == 0) *out.arrived = 0;
  for (int i = threadIdx.x; i < sums; i += threads) memory.term_total[i] = 0.0;
  for (int i = threadIdx.x; i < 2 * p.sources; i += threads) memory.source_total[i] = 0.0;
  for (int i = threadIdx.x; i < p.terms * share.count; i += threads)
    memory.mean[i] = p.term[i / share.count].mean[share.first + i % share.count];
  // What one tile leaves in shared memory is read before its last barrier.
  for (int tile = blockIdx.x; tile < tiling.tiles; tile += gridDim.x)
    reduce_tile(b, tiling, Tile(p, tiling, tile), share, memory);
  __syncthreads();
  double* term = out.term + std::int64_t{blockIdx.x} * (p.terms + 1) * p.c + share.first;
  for (int i = threadIdx.x; i < sums; i += threads)
    term[i / share.count * p.c + i % share.count] = memory.term_total[i];
  double* source =
      out.source + (std::int64_t{blockIdx.x} * out.chunks + blockIdx.y) * 2 * p.sources;
  for (int i = threadIdx.x; i < 2 * p.sources && b.dtheta; i += threads)
    source[i] = memory.source_total[i];
}

/// Blocks terms*slices: one a term and slice of channels. Where dtheta is wanted, one more adds up
/// the sources' sums, and the block that is done last adds to dtheta.
template <class T>
__global__ __launch_bounds__(threads) void finish_kernel(NodeMixBackwardOf<T> b, Partials in) {
  const NodeMixOf<T>& p = b.mix;
  double* parts = static_cast<double*>(shared_memory());     // [2*threads]
  int* words = reinterpret_cast<int*>(parts + 2 * threads);  // [threads]
  const int t = blockIdx.x / in.slices, i = threadIdx.x;
  if (t < p.terms) {
    const double dtheta =
        finish_term(b, in, t, static_cast<int>(blockIdx.x) % in.slices * slice, parts);
    if (i == 0) in.total[blockIdx.x] = dtheta;
  } else {
    const std::int64_t rows = std::int64_t{in.rows} * in.chunks;
    const int count = p.sources;
    const ColumnSums sum = add_columns(in.source, in.source + count, rows, 2 * count, count, parts);
    if (i < count) {
      in.total[blockIdx.x + i] = sum.first;
      in.total[blockIdx.x + count + i] = sum.second;
    }
  }
  if (!b.dtheta) return;
  __threadfence();
  __syncthreads();
  if (i == 0) words[0] = atomicAdd(in.arrived, 1u) + 1 == gridDim.x;
  __syncthreads();
  const bool last = words[0] != 0;
  __syncthreads();
  if (!last) return;
  __threadfence();
  add_to_weights(b, in, parts, words);
}

template <class T>
void backward(const NodeMixBackwardOf<T>& b, void* workspace, Stream stream) {
  const NodeMixOf<T>& p = b.mix;
  const bool sources = b.dtheta && p.sources > 0;
  if (p.terms == 0 && !sources) return;
  const int width = vector_width(p, b.dy);
  Tiling tiling = make_tiling(p, width);
  tiling.pools = tiling.pools && b.dtheta;
  const std::int64_t rows = std::min(max_rows, tiling.tiles);
  const Partials partials(p, static_cast<int>(rows), tiling.chunks, workspace);
  dispatch_width<T>(width, [&]<int V>() {
    const LaunchShape shape{rows, threads, Memory<V>::bytes(p, tiling),
                            static_cast<unsigned>(tiling.chunks)};
    launch("node_mix_backward", reduce_kernel<V, T>, shape, stream, b, tiling, partials);
  });
  const LaunchShape shape{p.terms * partials.slices + sources, threads,
                          threads * (2 * sizeof(double) + sizeof(int))};
  launch("node_mix_backward", finish_kernel<T>, shape, stream, b, partials);
}

}  // namespace

static_assert(sizeof(NodeMixBackward) + sizeof(Tiling) + sizeof(Partials) <= 4096,
              "kernel parameters");

template <>
std::size_t node_mix_backward_workspace<Device::cuda>(const NodeMix& p) {
  return Partials::bytes(p);
}
template <>
void node_mix_backward<Device::cuda>(const NodeMixBackward& b, void* workspace, Stream stream) {
  backward(b, workspace, stream);
}
template <>
std::size_t node_mix_backward_workspace<Device::cuda>(const NodeMixOf<bfloat16>& p) {
  return Partials::bytes(p);
}
template <>
void node_mix_backward<Device::cuda>(const NodeMixBackwardOf<bfloat16>& b, void* workspace,
                                     Stream stream) {
  backward(b, workspace, stream);
}

}  // namespace drnas::kernels
