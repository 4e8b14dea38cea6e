// SPDX-License-Identifier: MIT
#include "kernels/bundle/bundle_tile_gradient.h"
#include "kernels/bundle/bundle_tile_weights.h"
#include "kernels/bundle/conv_bundle_shuffled.h"
#include "kernels/bundle/node_backward.h"
#include "kernels/core/carver.h"

namespace drnas::kernels {
namespace {

/// Our own tiles need neither u nor du, weights as they are given, and mostly no dz; the vendor's
/// library needs them all.
template <class T>
struct BackwardScratch {
  bool gradient_tiles, weight_tiles;
  bool whole;  // tiles do all of it: dz is formed where it is read
  T *dz[ConvBundle::max_sizes] = {}, *du[ConvBundle::max_sizes] = {};
  T* u = nullptr;  // in the place of du[0], which is written later
  T* packed[ConvBundle::max_sizes] = {};
  float* dweight[ConvBundle::max_sizes] = {};  // padded
  float* parts = nullptr;                      // of the gradients of weights
  void* reduction = nullptr;                   // of the mix, where there is one
  void* convolution;
  std::size_t bytes;

  BackwardScratch(const PaddedBundle<T>& p, const NodeMixOf<T>* mix, void* memory)
      : gradient_tiles(runs_gradient_tiles<T>(p.bundle)),
        weight_tiles(runs_weight_tiles<T>(p.bundle)),
        whole(gradient_tiles && weight_tiles && forms_differential(p.bundle)) {
    const ConvBundle& b = p.bundle;
    Carver carve(memory);
    for (int s = 0; s < b.sizes; ++s) {
      if (!whole) dz[s] = carve.take<T>(p.z_count(s));
      if (!gradient_tiles || (s == 0 && !weight_tiles)) du[s] = carve.take<T>(p.u_count());
      packed[s] = carve.take<T>(gradient_tiles ? 0 : p.packed_count(s));
      dweight[s] = carve.take<float>(weight_tiles ? 0 : p.unpacked_count(s));
    }
    if (!weight_tiles) u = du[0];
    if (weight_tiles) parts = carve.take<float>(weight_parts<T>(b));
    if (mix) reduction = carve.take<std::byte>(tile_reduction_workspace<T>(b, *mix));
    convolution = carve.take<std::byte>(
        std::max(gradient_tiles ? 0 : p.convolution_bytes(ConvPass::backward_data),
                 weight_tiles ? 0 : p.convolution_bytes(ConvPass::backward_weight)));
    bytes = carve.bytes();
  }
};

/// One thread for V channels of dx: dx += 1[x > 0] sum_s du_s on the first c channels of x, and as
/// many beside them as fill sectors, which are written whole; du of a size of which nothing runs is
/// not read, and where nothing runs at all the blocks leave. After them others unpack gradients of
/// weights.
template <class T>
struct Rectification {
  ConvBundle bundle;
  const T* x;
  const T* du[ConvBundle::max_sizes];  ///< [pixels, c_pad]
  T* dx;
  unsigned items;
  int groups, c_pad;
  BundleGates gates;
};

using WeightUnpacking = WeightPadding<float, const float>;

/// Writes one weight of the given layout.
__device__ inline void unpack_weight(const WeightUnpacking& p, std::int64_t item) {
  WeightUnpacking::Size size;
  if (!p.find(item, size)) return;
  const unsigned at = static_cast<unsigned>(item), row_tap = at / p.c;
  size.outer[at] = size.padded[row_tap * p.c_pad + (at - row_tap * p.c)];
}

template <class T, int V>
__global__ void __launch_bounds__(bundle_threads)
    rectify_gradient_kernel(Rectification<T> k, WeightUnpacking unpacking) {
  const ConvBundle& b = k.bundle;
  const unsigned blocks = (k.items + bundle_threads - 1) / bundle_threads;
  if (blockIdx.x >= blocks) {
    unpack_weight(unpacking, global_thread() - std::int64_t{blocks} * bundle_threads);
    return;
  }
  const bool first = k.gates.any(0), second = b.sizes > 1 && k.gates.any(1);
  const unsigned item = static_cast<unsigned>(global_thread());
  if (item >= k.items || !(first || second)) return;
  const unsigned pixel = item / static_cast<unsigned>(k.groups);
  const int at = static_cast<int>(item - pixel * k.groups) * V;
  T* where = k.dx + std::int64_t{pixel} * b.x_channels + at;
  Channels<V> dx = load_channels<V>(where);
  if (at < b.c) {
    const Channels<V> u = load_rectified<V>(b, k.x, pixel, at);
    const std::int64_t from = std::int64_t{pixel} * k.c_pad + at;
    Channels<V> sum = {};
    if (first) sum = load_channels<V>(k.du[0] + from);
    if (second) sum += load_channels<V>(k.du[1] + from);
    for (int i = 0; i < V; ++i) dx.v[i] += u.v[i] > 0.0f ? sum.v[i] : 0.0f;
  }
  store_channels(where, dx);
}

template <class T>
bool wants_weights(const ConvBundleBackwardOf<T>& p) {
  return std::any_of(p.dweight, p.dweight + p.bundle.sizes,
                     [](const float* d) { return d != nullptr; });
}

template <class T>
Differentiation<T> describe(const ConvBundleBackwardOf<T>& p, const PaddedBundle<T>& padded,
                            const BackwardScratch<T>& scratch) {
  const ConvBundle& b = p.bundle;
  Differentiation<T> k{p};
  if (wants_weights(p)) k.u = scratch.u;  // null where nothing reads it
  k.c_pad = padded.c_pad;
  if (p.dx) choose_operations(p, k.skip, k.pool);
  for (int s = 0; s < b.sizes; ++s) {
    k.dz[s] = scratch.dz[s];  // tiles read both sizes
    k.z_channels[s] = b.z_channels(s);
  }
  for (int e = 0; e < b.edges; ++e)
    for (int s = 0; s < ConvBundle::max_sizes; ++s)
      k.channel[e][s] = s < b.sizes && k.dz[s] && b.has(s, e) ? b.slot(s, e) * b.c : -1;
  return k;
}

template <class T>
void start(const ConvBundleBackwardOf<T>& p, const PaddedBundle<T>& padded,
           const BackwardScratch<T>& scratch, Stream stream) {
  constexpr const char* name = "conv_bundle_differentiate";
  const ConvBundle& b = p.bundle;
  Differentiation<T> k = describe(p, padded, scratch);
  const WeightPacking<T> packing = p.dx && !scratch.gradient_tiles
                                       ? pack_weights(padded, p.weight, scratch.packed)
                                       : WeightPacking<T>(padded);
  dispatch_channels(b.c, [&]<int V>() {
    if (b.parts() == 1) {
      const std::int64_t items = std::int64_t{b.n} * blocks_for(b.h, strip_rows) * b.w * (b.c / V);
      k.items = static_cast<unsigned>(items);
      launch(name, differentiate_kernel<T, V>,
             {blocks_for(items, bundle_threads) + packing.blocks(), bundle_threads,
              sizeof(EdgeWeights)},
             stream, k, packing);
      return;
    }
    const ShuffledTiling tiling(k, V);
    k.items = static_cast<unsigned>(tiling.blocks(b));
    dispatch_parts(b.parts(), [&]<int K>() {
      launch(name, differentiate_shuffled_kernel<T, V, K>,
             {k.items + packing.blocks(), bundle_threads, tiling.bytes(sizeof(T))}, stream, k,
             tiling, packing);
    });
  });
}

/// Gradients of weights from u and dz; what remains to be unpacked.
template <class T>
WeightUnpacking differentiate_weights(const ConvBundleBackwardOf<T>& p,
                                      const PaddedBundle<T>& padded,
                                      const BackwardScratch<T>& scratch, Stream stream) {
  WeightUnpacking unpacking(padded);
  for (int s = 0; s < p.bundle.sizes; ++s) {
    if (!p.dweight[s]) continue;
    float* to = padded.unpacks_gradients() ? scratch.dweight[s] : p.dweight[s];
    differentiate_filters(padded.conv(s), scratch.u, scratch.dz[s], to, scratch.convolution,
                          stream);
    if (padded.unpacks_gradients())
      unpacking.set(padded, s, p.dweight[s], to, p.bundle.weight_count(s));
  }
  return unpacking;
}

/// du.
template <class T>
void differentiate_input(const PaddedBundle<T>& padded, const T* const* weight,
                         const BackwardScratch<T>& scratch, Stream stream) {
  for (int s = 0; s < padded.bundle.sizes; ++s)
    convolve<T>(ConvPass::backward_data, padded.conv(s), scratch.dz[s],
                padded.weight(weight[s], scratch.packed[s]), scratch.du[s], scratch.convolution,
                stream);
}

/// The convolutions' part of dx from du, where there is one; unpacks gradients of weights.
template <class T>
void finish(const ConvBundleBackwardOf<T>& p, const PaddedBundle<T>& padded,
            const BackwardScratch<T>& scratch, const WeightUnpacking& unpacking, Stream stream) {
  const ConvBundle& b = p.bundle;
  Rectification<T> k{b, p.x, {}, p.dx, 0, 1, padded.c_pad, p.gates};
  std::copy_n(scratch.du, b.sizes, k.du);
  dispatch_channels<widest<T>>(b.c, [&]<int V>() {
    const std::int64_t whole = round_up(b.c * static_cast<int>(sizeof(T)), 32) / sizeof(T);
    k.groups = static_cast<int>(whole) <= b.x_channels ? static_cast<int>(whole) / V : b.c / V;
    if (p.dx && !scratch.gradient_tiles) k.items = static_cast<unsigned>(b.pixels() * k.groups);
    launch("conv_bundle_rectify_gradient", rectify_gradient_kernel<T, V>,
           {blocks_for(k.items, bundle_threads) + unpacking.blocks(), bundle_threads}, stream, k,
           unpacking);
  });
}

/// With the reductions of a mix, unless it is null.
template <class T>
void backward(const ConvBundleBackwardOf<T>& p, const NodeMixBackwardOf<T>* mix, void* workspace,
              Stream stream) {
  if (!p.dx && !wants_weights(p)) return;
  const PaddedBundle<T> padded(p.bundle);
  const BackwardScratch<T> scratch(padded, mix ? &mix->mix : nullptr, workspace);
  if (!scratch.whole) start(p, padded, scratch, stream);
  if (p.bundle.sizes == 0) return;
  WeightUnpacking unpacking(padded);
  WeightSums sums;
  const auto dz_of = [&](auto k) {
    std::copy_n(scratch.dz, p.bundle.sizes, k.dz);
    return k;
  };
  if (!scratch.weight_tiles)
    unpacking = differentiate_weights(p, padded, scratch, stream);
  else if (wants_weights(p))
    sums = bundle_tile_weights(dz_of(TileWeights<T>{p, {}, scratch.parts}), stream);
  if (p.dx && scratch.gradient_tiles) {
    bundle_tile_gradient(dz_of(TileGradient<T>{p, scratch.whole, {}, sums, mix, scratch.reduction}),
                         stream);
  } else {
    if (p.dx) differentiate_input(padded, p.weight, scratch, stream);
    if (sums.weights > 0) bundle_add_weights(sums, stream);
  }
  finish(p, padded, scratch, unpacking, stream);
}

template <class T>
std::size_t workspace_bytes(const ConvBundle& p, const NodeMixOf<T>* mix) {
  return BackwardScratch<T>(PaddedBundle<T>(p), mix, nullptr).bytes;
}

}  // namespace

template <>
std::size_t conv_bundle_backward_workspace<Device::cuda>(const ConvBundle& p) {
  return workspace_bytes<float>(p, nullptr);
}
template <>
void conv_bundle_backward<Device::cuda>(const ConvBundleBackward& p, void* workspace,
                                        Stream stream) {
  backward<float>(p, nullptr, workspace, stream);
}
template <>
std::size_t conv_bundle_backward_workspace_bfloat16<Device::cuda>(const ConvBundle& p) {
  return workspace_bytes<bfloat16>(p, nullptr);
}
template <>
void conv_bundle_backward<Device::cuda>(const ConvBundleBackwardOf<bfloat16>& p, void* workspace,
                                        Stream stream) {
  backward<bfloat16>(p, nullptr, workspace, stream);
}

template <class T>
bool node_backward_joins(const ConvBundle& b, const NodeMixOf<T>& mix) {
  return BackwardScratch<T>(PaddedBundle<T>(b), nullptr, nullptr).whole &&
         tile_reduction_workspace<T>(b, mix) > 0;
}
template <class T>
std::size_t node_backward_workspace(const ConvBundle& bundle, const NodeMixOf<T>& mix) {
  return workspace_bytes(bundle, &mix);
}
template <class T>
void node_backward(const ConvBundleBackwardOf<T>& bundle, const NodeMixBackwardOf<T>& mix,
                   void* workspace, Stream stream) {
  if (!bundle.dx || bundle.dx != mix.dy || !node_backward_joins(bundle.bundle, mix.mix))
    throw Error(
        "node_backward: a node's gradient that the mix does not read, or shapes that are "
        "not run as one");
  backward(bundle, &mix, workspace, stream);
}

template bool node_backward_joins<float>(const ConvBundle&, const NodeMix&);
template bool node_backward_joins<bfloat16>(const ConvBundle&, const NodeMixOf<bfloat16>&);
template std::size_t node_backward_workspace<float>(const ConvBundle&, const NodeMix&);
template std::size_t node_backward_workspace<bfloat16>(const ConvBundle&,
                                                       const NodeMixOf<bfloat16>&);
template void node_backward<float>(const ConvBundleBackward&, const NodeMixBackward&, void*,
                                   Stream);
template void node_backward<bfloat16>(const ConvBundleBackwardOf<bfloat16>&,
                                      const NodeMixBackwardOf<bfloat16>&, void*, Stream);

}  // namespace drnas::kernels
