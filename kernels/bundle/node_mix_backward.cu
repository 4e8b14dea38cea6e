// SPDX-License-Identifier: MIT
#include "kernels/bundle/node_mix_device.h"
#include "kernels/bundle/node_mix_finish.h"
#include "kernels/core/warp_reduce.h"

namespace drnas::kernels {
namespace {

using namespace node_mix_device;

constexpr int warps = threads / static_cast<int>(warp_lanes);
/// Terms whose sums are added up across a block at a time: max_chunk channels of them are at most
/// one number a thread.
template <int V>
constexpr int batch = V == 8 ? 2 : 4;

/// Most threads that share a sum over a block.
constexpr int max_shares = 16;
/// Most groups of blocks of a chunk, most blocks in all where there are several chunks.
constexpr int max_groups = 16, max_blocks = 2048;

__device__ Counters counters;

/// Shared memory of a block; k channels of the chunk.
template <int V>
struct Memory {
  static constexpr int shared_sums_floats = 4 * threads;

  float* scratch;      ///< planes of dy with the tile's border, later sums of threads
  double* sums;        ///< [terms + 1, sum_pitch], then of the sources [2, sources]
  float* mean;         ///< [terms, k]
  float* shared_sums;  ///< see add_rows; later the mixing weights' gradient
  float* warp_sums;    ///< [warps, 2, sources]
  unsigned* last;      ///< see arrives_last

  template <class T>
  __device__ Memory(const NodeMixOf<T>& p, const Tiling& t, void* memory)
      : scratch(static_cast<float*>(memory)),
        sums(reinterpret_cast<double*>(scratch + scratch_floats(t))),
        mean(reinterpret_cast<float*>(sums + sum_count(p, t))),
        shared_sums(mean + (p.terms * t.chunk + 1) / 2 * 2),
        warp_sums(shared_sums + shared_sums_floats),
        last(reinterpret_cast<unsigned*>(warp_sums + 2 * p.sources * warps)) {}
  /// A multiple of four.
  DRNAS_HD static int scratch_floats(const Tiling& t) {
    const int sums = threads * V * batch<V>,
              planes = planes_floats(V, t.halo_pixels(), t.chunk / V, false);
    return sums > planes ? sums : planes;
  }
  /// An even number, for vectors after them.
  template <class T>
  DRNAS_HD static int sum_count(const NodeMixOf<T>& p, const Tiling& t) {
    return ((p.terms + 1) * t.sum_pitch() + 2 * p.sources + 1) / 2 * 2;
  }
  template <class T>
  static std::size_t bytes(const NodeMixOf<T>& p, const Tiling& t) {
    return sizeof(double) * static_cast<std::size_t>(sum_count(p, t)) +
           sizeof(float) *
               static_cast<std::size_t>(scratch_floats(t) + (p.terms * t.chunk + 1) / 2 * 2 +
                                        shared_sums_floats + 2 * p.sources * warps + 1);
  }
};

/// The block's channels of dy in the pixels of a tile and around it, zero outside the image.
template <int V, class T>
__device__ void fill_planes(const NodeMixBackwardOf<T>& b, const Tiling& tiling, const Tile& tile,
                            const Share& share, const ChannelPlanes<V>& planes) {
  const NodeMixOf<T>& p = b.mix;
  const int border = tiling.border, rows = tile.rows + 2 * border,
            columns = tile.columns + 2 * border, parts = p.parts();
  // Returns whether the pixel that is at (row, column) of the halo lies in the image.
  const auto find = [&](int row, int column, int& pixel) {
    row += tile.row - border;
    column += tile.column - border;
    pixel = tile.first_pixel + row * p.w + column;
    return row >= 0 && row < p.h && column >= 0 && column < p.w;
  };
  const auto fill = [&]<int K>() {
    constexpr int width = shuffled_values<T, V, K>;
    each_vector<threads>(share.count * parts / width, rows, columns, [&](int vector) {
      return [&, places = ShuffledVector<width, K>(vector, parts),
              from = b.dy + share.first * parts + vector * width](int i, int row, int column) {
        int pixel;
        Floats<width> dy;
        if (find(row, column, pixel)) dy = load<width>(from + offset_of(pixel, p.channels));
        places.store_first(planes, i, dy);
      };
    });
  };
  if (parts == 1)
    fill.template operator()<1>();
  else
    dispatch_parts(parts, fill);
}

/// P^T(dy) around the middle of a 3x3 window: every dy over the number of pixels in its window.
template <int V>
__device__ Floats<V> spread(const ChannelPlanes<V>& planes, int corner, int pitch, int group,
                            int row, int column, int h, int w) {
  Floats<V> sum;
  DRNAS_UNROLL
  for (int i = 0; i < 3; ++i) {
    Floats<V> line;
    DRNAS_UNROLL
    for (int j = 0; j < 3; ++j)
      add_weighted(line, window_share(column + j - 1, w),
                   planes.load(corner + i * pitch + j, group));
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
                     const Share& share, const ChannelPlanes<V>& planes, Held<V>& out) {
  const NodeMixOf<T>& p = b.mix;
  const int pitch = tile.columns + 2 * tiling.border;
  const bool kept = tiling.border > 0 || p.parts() > 1, spreads = tiling.border > 0 && pools_run(p);
  PixelWalk walk(share.slot, share.slots, tile.columns);
  DRNAS_UNROLL
  for (int q = 0; q < Held<V>::pixels; ++q, walk.advance()) {
    const bool inside = !share.idle() && share.slot + q * share.slots < tile.pixels();
    const int row = tile.row + walk.row, column = tile.column + walk.column;
    out.pixel[q] = inside ? tile.first_pixel + row * p.w + column : -1;
    out.dy[q] = out.spread[q] = {};
    if (!inside) continue;
    const int corner = walk.row * pitch + walk.column;
    if (kept)
      out.dy[q] = planes.load(corner + tiling.border * (pitch + 1), share.group);
    else
      out.dy[q] =
          load<V>(b.dy + offset_of(out.pixel[q], p.channels) + share.first + share.group * V);
    if (spreads) out.spread[q] = spread(planes, corner, pitch, share.group, row, column, p.h, p.w);
  }
}

/// Sums of dy x and P^T(dy) x over each warp.
template <int V, class T>
__device__ void reduce_sources(const NodeMixOf<T>& p, const Share& share, const Held<V>& own,
                               float* warp_sums) {
  const int channel = share.first + share.group * V, warp = threadIdx.x / warp_lanes;
  for (int s = 0; s < p.sources; ++s) {
    const bool read =
        has_running(p, p.source[s].skip_theta) || has_running(p, p.source[s].pool_theta);
    float skip = 0.0f, pool = 0.0f;
    const PartView<const T> from = source_view(p, s, 0);
    DRNAS_UNROLL
    for (int q = 0; q < Held<V>::pixels; ++q) {
      if (own.pixel[q] < 0 || !read) continue;
      const auto x = load<V>(from.base + offset_of(own.pixel[q], from.stride) + channel);
      skip += dot(own.dy[q], x);
      pool += dot(own.spread[q], x);
    }
    skip = warp_sum(skip);
    pool = warp_sum(pool);
    if (threadIdx.x % warp_lanes != 0) continue;
    warp_sums[2 * p.sources * warp + s] = skip;
    warp_sums[2 * p.sources * warp + p.sources + s] = pool;
  }
}

/// Adds the warps' sums, in float64.
__device__ inline void add_sources(int sources, const float* warp_sums, double* total) {
  const int i = threadIdx.x;
  if (i >= 2 * sources) return;
  double sum = 0.0;
  for (int warp = 0; warp < warps; ++warp) sum += warp_sums[2 * sources * warp + i];
  total[i] += sum;
}

/// A thread's part of the sum of term t, or of dy where t is the number of terms.
template <int V, class T>
__device__ Floats<V> sum_term(const NodeMixOf<T>& p, const Share& share, const Held<V>& own,
                              const float* mean, int t) {
  Floats<V> sum;
  if (t == p.terms) {
    DRNAS_UNROLL
    for (int q = 0; q < Held<V>::pixels; ++q) add(sum, own.dy[q]);
    return sum;
  }
  const NodeMixTermOf<T>& term = p.term[t];
  if (!p.gates.runs(p.theta, term.theta)) return sum;
  const Floats<V> middle = load<V>(mean + t * share.count + share.group * V);
  const T* z = term.z + share.first + share.group * V;
  DRNAS_UNROLL
  for (int q = 0; q < Held<V>::pixels; ++q) {
    if (own.pixel[q] < 0) continue;
    const Floats<V> values = load<V>(z + offset_of(own.pixel[q], term.z_stride));
    DRNAS_UNROLL
    for (int k = 0; k < V; ++k)
      sum.lane[k] += own.dy[q].lane[k] * (values.lane[k] - middle.lane[k]);
  }
  return sum;
}

/// Where threads leave sums of a few terms: planes of vectors of at most four channels,
/// [terms, pieces][slots, groups][piece], so that neighbours' accesses use all banks.
template <int V>
struct ThreadSums {
  static constexpr int piece = min_of(V, 4), pieces = V / piece;

  float* base;
  int width, pitch;  ///< floats of a slot in a plane; of a plane

  __device__ ThreadSums(const Share& share, float* base_)
      : base(base_), width(share.groups * piece), pitch(share.slots * width) {}
  __device__ void store(const Share& share, int term, const Floats<V>& values) const {
    DRNAS_UNROLL
    for (int p = 0; p < pieces; ++p) {
      Floats<piece> part;
      DRNAS_UNROLL
      for (int k = 0; k < piece; ++k) part.lane[k] = values.lane[p * piece + k];
      node_mix_device::store<piece>(
          base + (term * pieces + p) * pitch + (share.slot * share.groups + share.group) * piece,
          part);
    }
  }
};

/// Adds slots up, some of them a thread in float32, then all in float64; adds the results to
/// total [terms, row]. Every thread of the block takes part, and waits until all sums are there.
template <int V>
__device__ void add_rows(const ThreadSums<V>& rows, const Share& share, int terms, int row,
                         float* shared_sums, double* total) {
  const int sums = terms * share.count, shares = min_of(threads / sums, max_shares),
            pitch = (sums + 31) / 32 * 32 + rows.width, i = threadIdx.x;
  __syncthreads();
  if (i < sums * shares) {
    const int column = i % rows.width, rest = i / rows.width, part = rest % shares,
              plane = rest / shares;
    const float* from = rows.base + plane * rows.pitch + column;
    float sum = 0.0f;
    for (int slot = part; slot < share.slots; slot += shares) sum += from[slot * rows.width];
    shared_sums[part * pitch + plane * rows.width + column] = sum;
  }
  __syncthreads();
  if (i >= sums) return;
  double sum = 0.0;
  for (int k = 0; k < shares; ++k) sum += shared_sums[k * pitch + i];
  constexpr int piece = ThreadSums<V>::piece, pieces = ThreadSums<V>::pieces;
  const int plane = i / rows.width, column = i - plane * rows.width;
  total[plane / pieces * row + column / piece * V + plane % pieces * piece + column % piece] += sum;
}

/// All sums of one tile.
template <int V, class T>
__device__ void reduce_tile(const NodeMixBackwardOf<T>& b, const Tiling& tiling, const Tile& tile,
                            const Share& share, const Memory<V>& memory) {
  const NodeMixOf<T>& p = b.mix;
  const ChannelPlanes<V> planes(memory.scratch, tiling.halo_pixels(), share.groups);
  if (tiling.border || p.parts() > 1) {
    fill_planes(b, tiling, tile, share, planes);
    __syncthreads();
  }
  Held<V> own;
  hold(b, tiling, tile, share, planes, own);
  if (b.dtheta) reduce_sources(p, share, own, memory.warp_sums);
  __syncthreads();
  if (b.dtheta)
    add_sources(p.sources, memory.warp_sums, memory.sums + (p.terms + 1) * tiling.sum_pitch());
  const ThreadSums<V> sums(share, memory.scratch);
  for (int first = 0; first <= p.terms; first += batch<V>) {
    const int terms = min_of(batch<V>, p.terms + 1 - first);
    if (first + terms <= p.terms && !terms_run(p, first, first + terms)) continue;
    for (int k = 0; k < terms && !share.idle(); ++k)
      sums.store(share, k, sum_term(p, share, own, memory.mean, first + k));
    add_rows(sums, share, terms, tiling.sum_pitch(), memory.shared_sums,
             memory.sums + first * tiling.sum_pitch());
  }
}

/// A block adds up its tiles (blockIdx.x, blockIdx.x + gridDim.x, ...) for one chunk of channels.
/// Of those that are done the last ones add up what all of them left. All leave where no sum is
/// wanted, as nothing that could have a gradient runs.
template <int V, class T>
__global__ __launch_bounds__(threads, 2) void reduce_kernel(NodeMixBackwardOf<T> b, Tiling tiling,
                                                            Partials out) {
  const NodeMixOf<T>& p = b.mix;
  if (!sums_wanted(b)) return;
  const Memory<V> memory(p, tiling, shared_memory());
  const Share share(p.c, tiling.chunk, V);
  for (int i = threadIdx.x; i < out.pitch; i += threads) memory.sums[i] = 0.0;
  for (int i = threadIdx.x; i < p.terms * share.count; i += threads)
    memory.mean[i] = p.term[i / share.count].mean[share.first + i % share.count];
  // All of this is read after a barrier of the first tile. What one tile leaves in shared memory is
  // read before its last barrier.
  for (int tile = blockIdx.x; tile < tiling.tiles; tile += gridDim.x)
    reduce_tile(b, tiling, Tile(tiling, p.h, p.w, tile), share, memory);
  finish_sums<threads>(b, out, counters, {share.first, share.count}, memory.sums,
                       reinterpret_cast<double*>(memory.shared_sums),
                       reinterpret_cast<int*>(memory.scratch), memory.last);
}

/// Blocks that share a chunk's tiles.
std::int64_t row_count(const Tiling& t) {
  return std::min({std::int64_t{group_rows} * max_groups, t.tiles,
                   std::int64_t{std::max(1, max_blocks / t.chunks)}});
}

template <class T>
Partials partials_of(const NodeMixOf<T>& p, const Tiling& t, void* memory) {
  const Partials partials(p, t.chunk, t.chunks, row_count(t), memory);
  if (!partials.counters_fit())
    throw Error("node_mix: " + std::to_string(p.c) + " mixed channels, expected at most " +
                std::to_string((Counters::size - 1) / 2 * max_chunk));
  return partials;
}

/// Enough for any width of vectors.
template <class T>
std::size_t workspace_bytes(const NodeMixOf<T>& p) {
  std::int64_t doubles = 0;
  for (int v = 1; v <= 8 && p.c % v == 0; v *= 2)
    for (const bool pools : {false, true}) {
      const Tiling t = make_tiling(p, v, pools, 0);
      doubles = std::max(doubles, Partials(p, t.chunk, t.chunks, row_count(t), nullptr).doubles);
    }
  return sizeof(double) * static_cast<std::size_t>(doubles);
}

template <class T>
void backward(const NodeMixBackwardOf<T>& b, void* workspace, Stream stream) {
  const NodeMixOf<T>& p = b.mix;
  if (p.terms == 0 && !(b.dtheta && (p.sources > 0 || p.gates.adds))) return;
  const int width = vector_width(p, b.dy);
  const Tiling tiling = make_tiling(p, width, b.dtheta && has_pools(p), 0);
  const Partials partials = partials_of(p, tiling, workspace);
  dispatch_width<T>(width, [&]<int V>() {
    const LaunchShape shape{partials.rows, threads, Memory<V>::bytes(p, tiling),
                            static_cast<unsigned>(tiling.chunks)};
    launch("node_mix_backward", reduce_kernel<V, T>, shape, stream, b, tiling, partials);
  });
}

}  // namespace

static_assert(sizeof(NodeMixBackward) + sizeof(Tiling) + sizeof(Partials) <= 4096,
              "kernel parameters");

template <>
std::size_t node_mix_backward_workspace<Device::cuda>(const NodeMix& p) {
  return workspace_bytes(p);
}
template <>
void node_mix_backward<Device::cuda>(const NodeMixBackward& b, void* workspace, Stream stream) {
  backward(b, workspace, stream);
}
template <>
std::size_t node_mix_backward_workspace<Device::cuda>(const NodeMixOf<bfloat16>& p) {
  return workspace_bytes(p);
}
template <>
void node_mix_backward<Device::cuda>(const NodeMixBackwardOf<bfloat16>& b, void* workspace,
                                     Stream stream) {
  backward(b, workspace, stream);
}

}  // namespace drnas::kernels
