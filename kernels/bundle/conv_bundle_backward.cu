// SPDX-License-Identifier: MIT
#include "kernels/bundle/conv_bundle_device.h"
#include "kernels/core/carver.h"

namespace drnas::kernels {
namespace {

/// Rows that a thread walks down in one column: neighbours are read (strip_rows + 2) / strip_rows
/// times, not three times.
constexpr int strip_rows = 2;

template <class T>
struct BackwardScratch {
  T *dz[ConvBundle::max_sizes] = {}, *du[ConvBundle::max_sizes] = {};
  T* u;  // in the place of du[0], which is read first; null without sizes
  T* packed[ConvBundle::max_sizes] = {};
  T* dweight[ConvBundle::max_sizes] = {};  // padded
  void* convolution;
  std::size_t bytes;

  BackwardScratch(const PaddedBundle<T>& p, void* memory) {
    Carver carve(memory);
    for (int s = 0; s < p.bundle.sizes; ++s) {
      dz[s] = carve.take<T>(p.z_count(s));
      du[s] = carve.take<T>(p.u_count());
      packed[s] = carve.take<T>(p.packed_count(s));
      dweight[s] = carve.take<T>(p.unpacked_count(s));
    }
    u = du[0];
    convolution = carve.take<std::byte>(std::max(p.convolution_bytes(ConvPass::backward_data),
                                                 p.convolution_bytes(ConvPass::backward_weight)));
    bytes = carve.bytes();
  }
};

/// The edges that have an operation without weights.
template <class T>
struct OperationEdges {
  int count = 0;
  const T* dy[ConvBundle::max_edges];
  const double* weight[ConvBundle::max_edges];

  void add(const T* of_edge, const double* mixing) {
    if (!mixing) return;
    dy[count] = of_edge;
    weight[count++] = mixing;
  }
};

template <class T>
struct Differentiation {
  ConvBundleBackwardOf<T> p;
  T* dz[ConvBundle::max_sizes] = {};
  int z_channels[ConvBundle::max_sizes] = {};
  /// First channel of an edge in z and dz; -1 where it lacks the size, or dz is not wanted.
  int channel[ConvBundle::max_edges][ConvBundle::max_sizes] = {};
  OperationEdges<T> skip = {}, pool = {};  ///< none where dx is not wanted
  unsigned items = 0;
};

/// A block's shared memory: mixing weights of the edges that have the operation.
struct EdgeWeights {
  float skip[ConvBundle::max_edges], pool[ConvBundle::max_edges];
};

/// Mixed channels [at, at+V) of a shuffled pixel.
template <int V, bool dense, class T>
__device__ inline Channels<V> load_mixed(const ConvBundle& b, const T* dy, std::int64_t pixel,
                                         int at) {
  const T* from = dy + pixel * b.x_channels;
  if constexpr (dense) return load_channels<V>(from + at);
  const int parts = b.parts();
  Channels<V> out;
  for (int i = 0; i < V; ++i) out.v[i] = static_cast<float>(from[(at + i) * parts]);
  return out;
}

/// sum_e weight_e dy_e.
template <int V, bool dense, class T>
__device__ inline Channels<V> sum_edges(const ConvBundle& b, const OperationEdges<T>& edges,
                                        const float* weight, std::int64_t pixel, int at) {
  Channels<V> sum = {};
  DRNAS_BUNDLE_UNROLL
  for (int i = 0; i < edges.count; ++i)
    sum.add(weight[i], load_mixed<V, dense>(b, edges.dy[i], pixel, at));
  return sum;
}

/// 1 over the number of rows (columns) of a window around `i` that lie inside [0, size).
__device__ inline float window_part(int i, int size) {
  const int count = 1 + (i > 0) + (i + 1 < size);
  return count == 3 ? 1.0f / 3 : count == 2 ? 0.5f : 1.0f;
}

/// One row of the transposed average pool around `pixel` of column j: sum over columns j-1 to j+1
/// of sum_e pool_e dy_e over each one's window.
template <int V, bool dense, class T>
__device__ Channels<V> pool_row(const Differentiation<T>& k, const float* weight,
                                std::int64_t pixel, int i, int j, int at) {
  const ConvBundle& b = k.p.bundle;
  const float rows = window_part(i, b.h);
  Channels<V> sum = {};
  for (int d = -1; d <= 1; ++d)
    if (j + d >= 0 && j + d < b.w)
      sum.add(rows * window_part(j + d, b.w),
              sum_edges<V, dense>(b, k.pool, weight, pixel + d, at));
  return sum;
}

/// dz = A dy + B z + C of one pixel for all edges and their sizes, and zeros in the padding.
template <int V, bool dense, class T>
__device__ void differentiate(const Differentiation<T>& k, std::int64_t pixel, int at) {
  const ConvBundle& b = k.p.bundle;
  for (int e = 0; e < b.edges; ++e) {
    if (k.channel[e][0] < 0 && k.channel[e][1] < 0) continue;
    const Channels<V> dy = load_mixed<V, dense>(b, k.p.edge[e].dy, pixel, at);
    for (int s = 0; s < ConvBundle::max_sizes; ++s) {
      if (k.channel[e][s] < 0) continue;
      const float* coefficients = k.p.edge[e].coefficients[s] + at;
      const Channels<V> a = load_channels<V>(coefficients),
                        bz = load_channels<V>(coefficients + b.c),
                        constant = load_channels<V>(coefficients + 2 * b.c);
      const std::int64_t where = pixel * k.z_channels[s] + k.channel[e][s] + at;
      const Channels<V> z = load_channels<V>(k.p.z[s] + where);
      Channels<V> dz;
      for (int i = 0; i < V; ++i) dz.v[i] = a.v[i] * dy.v[i] + bz.v[i] * z.v[i] + constant.v[i];
      store_channels(k.dz[s] + where, dz);
    }
  }
  if (at > 0) return;
  for (int s = 0; s < b.sizes; ++s)
    for (int ch = b.rows(s); ch < k.z_channels[s] && k.dz[s]; ch += V)
      store_channels(k.dz[s] + pixel * k.z_channels[s] + ch, Channels<V>{});
}

/// dx of the bypassed channels that lie beside the mixed channels [at, at+V) in a shuffled pixel.
template <int V, class T>
__device__ void bypass_any(const ConvBundleBackwardOf<T>& p, std::int64_t pixel, int at) {
  const ConvBundle& b = p.bundle;
  const int parts = b.parts();
  for (int g = 1; g < parts; ++g) {
    Channels<V> sum = {};
    for (int e = 0; e < b.edges; ++e) {
      const T* from = p.edge[e].dy + pixel * b.x_channels + at * parts + g;
      for (int i = 0; i < V; ++i) sum.v[i] += static_cast<float>(from[i * parts]);
    }
    store_channels(p.dx + pixel * b.x_channels + g * b.c + at, sum);
  }
}

/// The same for a known number of parts, by vectors.
template <int V, int parts, class T>
__device__ void bypass_parts(const ConvBundleBackwardOf<T>& p, std::int64_t pixel, int at) {
  const ConvBundle& b = p.bundle;
  Channels<V> sum[parts] = {};  // in shuffled order
  for (int e = 0; e < b.edges; ++e) {
    const T* from = p.edge[e].dy + pixel * b.x_channels + at * parts;
    for (int q = 0; q < parts; ++q) sum[q] += load_channels<V>(from + q * V);
  }
  for (int g = 1; g < parts; ++g) {
    Channels<V> out;
    for (int i = 0; i < V; ++i) out.v[i] = sum[(i * parts + g) / V].v[(i * parts + g) % V];
    store_channels(p.dx + pixel * b.x_channels + g * b.c + at, out);
  }
}

template <int V, class T>
__device__ void bypass(const ConvBundleBackwardOf<T>& p, std::int64_t pixel, int at) {
  const int parts = p.bundle.parts();
  if constexpr (V == 4) {
    if (parts == 2) return bypass_parts<V, 2>(p, pixel, at);
    if (parts == 4) return bypass_parts<V, 4>(p, pixel, at);
  }
  bypass_any<V>(p, pixel, at);
}

/// dz, and what the identity and the bypass send to dx. Returns the identity's part.
template <int V, bool dense, class T>
__device__ Channels<V> own_pixel(const Differentiation<T>& k, const EdgeWeights& weights,
                                 std::int64_t pixel, int at) {
  differentiate<V, dense>(k, pixel, at);
  if (!k.p.dx) return {};
  if constexpr (!dense) bypass<V>(k.p, pixel, at);
  return sum_edges<V, dense>(k.p.bundle, k.skip, weights.skip, pixel, at);
}

/// Walks down the strip that begins at row `top` of column j; `image` is the image's first pixel.
template <int V, bool dense, class T>
__device__ void walk_strip(const Differentiation<T>& k, const EdgeWeights& weights,
                           std::int64_t image, int top, int j, int at) {
  const ConvBundle& b = k.p.bundle;
  const int end = top + strip_rows < b.h ? top + strip_rows : b.h;
  Channels<V> above = {}, here = {}, direct = {};
  for (int i = top - 1; i <= end; ++i) {
    const std::int64_t pixel = image + std::int64_t{i} * b.w + j;
    Channels<V> below = {};
    if (k.pool.count > 0 && i >= 0 && i < b.h)
      below = pool_row<V, dense>(k, weights.pool, pixel, i, j, at);
    if (i > top && k.p.dx) {
      Channels<V> dx = above;
      dx += here;
      dx += below;
      dx += direct;
      store_channels(k.p.dx + (pixel - b.w) * b.x_channels + at, dx);
    }
    if (i >= top && i < end) direct = own_pixel<V, dense>(k, weights, pixel, at);
    above = here;
    here = below;
  }
}

/// One thread a strip and V channels: dz of all edges and their sizes; starts dx with identity,
/// pool and bypass. After these blocks others pack weights.
template <class T, int V, bool dense>
__global__ void __launch_bounds__(bundle_threads, V == 4 && !dense ? 2 : 3)
    differentiate_kernel(Differentiation<T> k, WeightPacking<T> packing) {
  const ConvBundle& b = k.p.bundle;
  const unsigned blocks = (k.items + bundle_threads - 1) / bundle_threads;
  if (blockIdx.x >= blocks) {
    pack_weight(packing, global_thread() - std::int64_t{blocks} * bundle_threads);
    return;
  }
  EdgeWeights& weights = *static_cast<EdgeWeights*>(shared_memory());
  const int thread = threadIdx.x;
  if (thread < k.skip.count) weights.skip[thread] = static_cast<float>(*k.skip.weight[thread]);
  if (thread < k.pool.count) weights.pool[thread] = static_cast<float>(*k.pool.weight[thread]);
  __syncthreads();
  const unsigned item = static_cast<unsigned>(global_thread());
  if (item >= k.items) return;
  const unsigned groups = static_cast<unsigned>(b.c) / V, width = static_cast<unsigned>(b.w),
                 strips = (static_cast<unsigned>(b.h) + strip_rows - 1) / strip_rows;
  const unsigned column = item / groups, strip = column / width, image = strip / strips;
  walk_strip<V, dense>(k, weights, std::int64_t{image} * b.h * b.w,
                       static_cast<int>(strip - image * strips) * strip_rows,
                       static_cast<int>(column - strip * width),
                       static_cast<int>(item - column * groups) * V);
}

template <class T>
struct Rectification {
  ConvBundle bundle;
  const T* x;
  const T* du[ConvBundle::max_sizes];
  T *dx, *u;  ///< null: not wanted; u may lie on du[0]
  unsigned items;
  int groups;
};

/// dx += 1[x > 0] sum_s du_s on the first c channels; u = max(0, x). One thread for V channels of u
/// [pixels, c_pad].
template <class T, int V>
__global__ void __launch_bounds__(bundle_threads) rectify_gradient_kernel(Rectification<T> k) {
  const ConvBundle& b = k.bundle;
  const unsigned item = static_cast<unsigned>(global_thread());
  if (item >= k.items) return;
  const unsigned pixel = item / static_cast<unsigned>(k.groups);
  const int at = static_cast<int>(item - pixel * k.groups) * V;
  const Channels<V> u = load_rectified<V>(b, k.x, pixel, at);
  if (k.dx && at < b.c) {
    Channels<V> sum = load_channels<V>(k.du[0] + std::int64_t{item} * V);
    if (b.sizes > 1) sum += load_channels<V>(k.du[1] + std::int64_t{item} * V);
    T* where = k.dx + std::int64_t{pixel} * b.x_channels + at;
    Channels<V> dx = load_channels<V>(where);
    for (int i = 0; i < V; ++i) dx.v[i] += u.v[i] > 0.0f ? sum.v[i] : 0.0f;
    store_channels(where, dx);
  }
  if (k.u) store_channels(k.u + std::int64_t{item} * V, u);
}

template <class T>
using WeightUnpacking = WeightPadding<float, const T>;

/// One thread a weight of the given layout.
template <class T>
__global__ void unpack_kernel(WeightUnpacking<T> p) {
  std::int64_t item = global_thread();
  typename WeightUnpacking<T>::Size size;
  if (!p.find(item, size)) return;
  const unsigned at = static_cast<unsigned>(item), row_tap = at / p.c;
  size.outer[at] = static_cast<float>(size.padded[row_tap * p.c_pad + (at - row_tap * p.c)]);
}

template <class T>
bool wants_weights(const ConvBundleBackwardOf<T>& p) {
  return std::any_of(p.dweight, p.dweight + p.bundle.sizes,
                     [](const float* d) { return d != nullptr; });
}

template <class T>
Differentiation<T> describe(const ConvBundleBackwardOf<T>& p, const BackwardScratch<T>& scratch) {
  const ConvBundle& b = p.bundle;
  Differentiation<T> k{p};
  for (int s = 0; s < b.sizes; ++s) {
    if (p.dx || p.dweight[s]) k.dz[s] = scratch.dz[s];
    k.z_channels[s] = b.z_channels(s);
  }
  for (int e = 0; e < b.edges; ++e) {
    for (int s = 0; s < ConvBundle::max_sizes; ++s)
      k.channel[e][s] = s < b.sizes && k.dz[s] && b.has(s, e) ? b.slot(s, e) * b.c : -1;
    if (!p.dx) continue;
    k.skip.add(p.edge[e].dy, p.edge[e].skip_weight);
    k.pool.add(p.edge[e].dy, p.edge[e].pool_weight);
  }
  return k;
}

template <class T>
void start(const ConvBundleBackwardOf<T>& p, const PaddedBundle<T>& padded,
           const BackwardScratch<T>& scratch, Stream stream) {
  const ConvBundle& b = p.bundle;
  Differentiation<T> k = describe(p, scratch);
  const WeightPacking<T> packing =
      p.dx ? pack_weights(padded, p.weight, scratch.packed) : WeightPacking<T>(padded);
  dispatch_channels(b.c, [&]<int V>() {
    const std::int64_t items = std::int64_t{b.n} * blocks_for(b.h, strip_rows) * b.w * (b.c / V);
    k.items = static_cast<unsigned>(items);
    launch(
        "conv_bundle_differentiate",
        b.parts() == 1 ? differentiate_kernel<T, V, true> : differentiate_kernel<T, V, false>,
        {blocks_for(items, bundle_threads) + packing.blocks(), bundle_threads, sizeof(EdgeWeights)},
        stream, k, packing);
  });
}

template <class T>
void rectify(const ConvBundleBackwardOf<T>& p, const PaddedBundle<T>& padded,
             const BackwardScratch<T>& scratch, Stream stream) {
  Rectification<T> k{p.bundle, p.x, {}, p.dx, wants_weights(p) ? scratch.u : nullptr, 0, 0};
  std::copy_n(scratch.du, p.bundle.sizes, k.du);
  dispatch_channels<widest<T>>(p.bundle.c, [&]<int V>() {
    const std::int64_t items = padded.u_count() / V;
    k.items = static_cast<unsigned>(items);
    k.groups = padded.c_pad / V;
    launch("conv_bundle_rectify_gradient", rectify_gradient_kernel<T, V>,
           {blocks_for(items, bundle_threads), bundle_threads}, stream, k);
  });
}

template <class T>
void differentiate_weights(const ConvBundleBackwardOf<T>& p, const PaddedBundle<T>& padded,
                           const BackwardScratch<T>& scratch, Stream stream) {
  WeightUnpacking<T> unpacking(padded);
  for (int s = 0; s < p.bundle.sizes; ++s) {
    if (!p.dweight[s]) continue;
    T* to = scratch.dweight[s];
    if constexpr (PaddedBundle<T>::stores_float)
      if (!padded.unpacks_gradients()) to = p.dweight[s];
    convolve<T>(ConvPass::backward_weight, padded.conv(s), scratch.u, scratch.dz[s], to,
                scratch.convolution, stream);
    if (padded.unpacks_gradients())
      unpacking.set(padded, s, p.dweight[s], to, p.bundle.weight_count(s));
  }
  launch("conv_bundle_unpack", unpack_kernel<T>, {unpacking.blocks(), bundle_threads}, stream,
         unpacking);
}

template <class T>
void backward(const ConvBundleBackwardOf<T>& p, void* workspace, Stream stream) {
  if (!p.dx && !wants_weights(p)) return;
  const PaddedBundle<T> padded(p.bundle);
  const BackwardScratch<T> scratch(padded, workspace);
  start(p, padded, scratch, stream);
  for (int s = 0; s < p.bundle.sizes && p.dx; ++s)
    convolve<T>(ConvPass::backward_data, padded.conv(s), scratch.dz[s],
                padded.weight(p.weight[s], scratch.packed[s]), scratch.du[s], scratch.convolution,
                stream);
  if (p.bundle.sizes > 0) rectify(p, padded, scratch, stream);
  if (wants_weights(p)) differentiate_weights(p, padded, scratch, stream);
}

}  // namespace

template <>
std::size_t conv_bundle_backward_workspace<Device::cuda>(const ConvBundle& p) {
  return BackwardScratch<float>(PaddedBundle<float>(p), nullptr).bytes;
}
template <>
void conv_bundle_backward<Device::cuda>(const ConvBundleBackward& p, void* workspace,
                                        Stream stream) {
  backward(p, workspace, stream);
}
template <>
std::size_t conv_bundle_backward_workspace_bfloat16<Device::cuda>(const ConvBundle& p) {
  return BackwardScratch<bfloat16>(PaddedBundle<bfloat16>(p), nullptr).bytes;
}
template <>
void conv_bundle_backward<Device::cuda>(const ConvBundleBackwardOf<bfloat16>& p, void* workspace,
                                        Stream stream) {
  backward(p, workspace, stream);
}

}  // namespace drnas::kernels
