// SPDX-License-Identifier: MIT
// First kernel of conv_bundle_backward on CUDA where no channels are shuffled (K 1), and what it
// shares with the one for shuffled channels (conv_bundle_shuffled.h): from the gradients of the
// destinations come dz of all edges, the start of dx, and u for the gradients of weights.
#pragma once

#include "kernels/bundle/conv_bundle_device.h"
#include "kernels/core/pixel_tiles.h"

namespace drnas::kernels {
namespace {

/// Rows that a thread walks down in one column: neighbours are read (strip_rows + 2) / strip_rows
/// times, not three times.
constexpr int strip_rows = 2;

/// The edges that have an operation without weights.
template <class T>
struct OperationEdges {
  int count = 0;
  const T* dy[ConvBundle::max_edges];
  const double* weight[ConvBundle::max_edges];
  bool zeros_rest = false;  ///< those of weight zero are not read

  void add(const T* of_edge, const double* mixing) {
    if (!mixing) return;
    dy[count] = of_edge;
    weight[count++] = mixing;
  }
};

/// Of a node's edges those with an identity and those with a pool.
template <class T>
void choose_operations(const ConvBundleBackwardOf<T>& p, OperationEdges<T>& skip,
                       OperationEdges<T>& pool) {
  skip.zeros_rest = pool.zeros_rest = p.zeros_rest;
  for (int e = 0; e < p.bundle.edges; ++e) {
    skip.add(p.edge[e].dy, p.edge[e].skip_weight);
    pool.add(p.edge[e].dy, p.edge[e].pool_weight);
  }
}

template <class T>
struct Differentiation {
  ConvBundleBackwardOf<T> p;
  T* dz[ConvBundle::max_sizes] = {};
  T* u = nullptr;  ///< [pixels, c_pad]; null where no gradient of weights is wanted
  int c_pad = 0;
  int z_channels[ConvBundle::max_sizes] = {};
  /// First channel of an edge in z and dz; -1 where it lacks the size, or dz is not wanted.
  int channel[ConvBundle::max_edges][ConvBundle::max_sizes] = {};
  OperationEdges<T> skip = {}, pool = {};  ///< none where dx is not wanted
  unsigned items = 0;

  /// An edge has convolutions whose dz is wanted.
  DRNAS_HD bool convolves(int edge) const { return channel[edge][0] >= 0 || channel[edge][1] >= 0; }
  /// Which convolutions run: bit 2 edge + size.
  __device__ unsigned running() const {
    if (!p.gates.of[0][0]) return ~0u;
    unsigned bits = 0;
    for (int e = 0; e < p.bundle.edges; ++e)
      for (int s = 0; s < p.bundle.sizes; ++s)
        if (p.bundle.has(s, e) && p.gates.open(s, p.bundle.slot(s, e))) bits |= 1u << (2 * e + s);
    return bits;
  }
};
static_assert(ConvBundle::max_sizes == 2);

/// Mixing weights of the edges that have the operation, in a block's shared memory.
struct EdgeWeights {
  float skip[ConvBundle::max_edges], pool[ConvBundle::max_edges];

  /// Of anything with those edges.
  template <class K>
  __device__ void load(const K& k) {
    const int thread = threadIdx.x;
    if (thread < k.skip.count) skip[thread] = static_cast<float>(*k.skip.weight[thread]);
    if (thread < k.pool.count) pool[thread] = static_cast<float>(*k.pool.weight[thread]);
  }
};

/// A, B, C of dz = A dy + B z + C for V channels.
template <int V>
struct Coefficients {
  Channels<V> a, b, c;

  /// `from` [3, channels] begins at the first of these channels.
  __device__ void load(const float* from, int channels) {
    a = load_channels<V>(from);
    b = load_channels<V>(from + channels);
    c = load_channels<V>(from + 2 * channels);
  }
  __device__ Channels<V> apply(const Channels<V>& dy, const Channels<V>& z) const {
    Channels<V> dz;
    for (int i = 0; i < V; ++i) dz.v[i] = a.v[i] * dy.v[i] + b.v[i] * z.v[i] + c.v[i];
    return dz;
  }
};

/// sum_e weight_e dy_e.
template <int V, class T>
__device__ inline Channels<V> sum_edges(const ConvBundle& b, const OperationEdges<T>& edges,
                                        const float* weight, std::int64_t pixel, int at) {
  Channels<V> sum = {};
  DRNAS_UNROLL_4
  for (int i = 0; i < edges.count; ++i)
    if (!edges.zeros_rest || weight[i] != 0.0f)
      sum.add(weight[i], load_channels<V>(edges.dy[i] + pixel * b.x_channels + at));
  return sum;
}

/// One row of the transposed average pool around `pixel` of column j: sum over columns j-1 to j+1
/// of sum_e pool_e dy_e over each one's window.
template <int V, class T>
__device__ Channels<V> pool_row(const Differentiation<T>& k, const float* weight,
                                std::int64_t pixel, int i, int j, int at) {
  using pixel_tiles::window_share;
  const ConvBundle& b = k.p.bundle;
  const float rows = window_share(i, b.h);
  Channels<V> sum = {};
  for (int d = -1; d <= 1; ++d)
    if (j + d >= 0 && j + d < b.w)
      sum.add(rows * window_share(j + d, b.w), sum_edges<V>(b, k.pool, weight, pixel + d, at));
  return sum;
}

/// dz of one pixel for all edges and their sizes, zeros in the padding and for what does not run:
/// the library reads all of them.
template <int V, class T>
__device__ void differentiate(const Differentiation<T>& k, unsigned running, std::int64_t pixel,
                              int at) {
  const ConvBundle& b = k.p.bundle;
  for (int e = 0; e < b.edges; ++e) {
    if (!k.convolves(e)) continue;
    const unsigned runs = running >> 2 * e & 3;
    Channels<V> dy = {};
    if (runs) dy = load_channels<V>(k.p.edge[e].dy + pixel * b.x_channels + at);
    for (int s = 0; s < ConvBundle::max_sizes; ++s) {
      if (k.channel[e][s] < 0) continue;
      const std::int64_t where = pixel * k.z_channels[s] + k.channel[e][s] + at;
      Channels<V> dz = {};
      if (runs >> s & 1) {
        Coefficients<V> of;
        of.load(k.p.edge[e].coefficients[s] + at, b.c);
        dz = of.apply(dy, load_channels<V>(k.p.z[s] + where));
      }
      store_channels(k.dz[s] + where, dz);
    }
  }
  if (at > 0) return;
  for (int s = 0; s < b.sizes; ++s)
    for (int ch = b.rows(s); ch < k.z_channels[s] && k.dz[s]; ch += V)
      store_channels(k.dz[s] + pixel * k.z_channels[s] + ch, Channels<V>{});
}

/// u of one pixel, zeros in its padding and where nothing runs.
template <int V, class T>
__device__ void store_rectified(const Differentiation<T>& k, unsigned running, std::int64_t pixel,
                                int at) {
  const ConvBundle& b = k.p.bundle;
  Channels<V> u = {};
  if (running) u = load_rectified<V>(b, k.p.x, pixel, at);
  store_channels(k.u + pixel * k.c_pad + at, u);
  if (at > 0) return;
  for (int ch = b.c; ch < k.c_pad; ch += V)
    store_channels(k.u + pixel * k.c_pad + ch, Channels<V>{});
}

/// dz, u, and the identity's part of dx, which it returns.
template <int V, class T>
__device__ Channels<V> own_pixel(const Differentiation<T>& k, const EdgeWeights& weights,
                                 unsigned running, std::int64_t pixel, int at) {
  differentiate<V>(k, running, pixel, at);
  if (k.u) store_rectified<V>(k, running, pixel, at);
  if (!k.p.dx) return {};
  return sum_edges<V>(k.p.bundle, k.skip, weights.skip, pixel, at);
}

/// Walks down the strip that begins at row `top` of column j; `image` is the image's first pixel.
template <int V, class T>
__device__ void walk_strip(const Differentiation<T>& k, const EdgeWeights& weights,
                           unsigned running, std::int64_t image, int top, int j, int at) {
  const ConvBundle& b = k.p.bundle;
  const int end = top + strip_rows < b.h ? top + strip_rows : b.h;
  Channels<V> above = {}, here = {}, direct = {};
  for (int i = top - 1; i <= end; ++i) {
    const std::int64_t pixel = image + std::int64_t{i} * b.w + j;
    Channels<V> below = {};
    if (k.pool.count > 0 && i >= 0 && i < b.h)
      below = pool_row<V>(k, weights.pool, pixel, i, j, at);
    if (i > top && k.p.dx) {
      Channels<V> dx = above;
      dx += here;
      dx += below;
      dx += direct;
      store_channels(k.p.dx + (pixel - b.w) * b.x_channels + at, dx);
    }
    if (i >= top && i < end) direct = own_pixel<V>(k, weights, running, pixel, at);
    above = here;
    here = below;
  }
}

/// One thread a strip and V channels: dz of all edges and their sizes, u; starts dx with identity
/// and pool. After these blocks others pack weights.
template <class T, int V>
__global__ void __launch_bounds__(bundle_threads, 3)
    differentiate_kernel(Differentiation<T> k, WeightPacking<T> packing) {
  const ConvBundle& b = k.p.bundle;
  const unsigned blocks = (k.items + bundle_threads - 1) / bundle_threads;
  const unsigned running = k.running();
  if (blockIdx.x >= blocks) {
    if (running) pack_weight(packing, global_thread() - std::int64_t{blocks} * bundle_threads);
    return;
  }
  EdgeWeights& weights = *static_cast<EdgeWeights*>(shared_memory());
  weights.load(k);
  __syncthreads();
  const unsigned item = static_cast<unsigned>(global_thread());
  if (item >= k.items) return;
  const unsigned groups = static_cast<unsigned>(b.c) / V, width = static_cast<unsigned>(b.w),
                 strips = (static_cast<unsigned>(b.h) + strip_rows - 1) / strip_rows;
  const unsigned column = item / groups, strip = column / width, image = strip / strips;
  walk_strip<V>(k, weights, running, std::int64_t{image} * b.h * b.w,
                static_cast<int>(strip - image * strips) * strip_rows,
                static_cast<int>(column - strip * width),
                static_cast<int>(item - column * groups) * V);
}

}  // namespace
}  // namespace drnas::kernels
