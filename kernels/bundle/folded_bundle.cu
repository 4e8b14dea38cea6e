// SPDX-License-Identifier: MIT
#include "kernels/bundle/bundle_tile_forward.h"
#include "kernels/bundle/folded_weights.h"
#include "kernels/core/carver.h"

namespace drnas::kernels {
namespace {

template <class T>
struct FoldedScratch {
  T *u, *weight;  // [pixels, c_pad], [z_channels, k, k, c_pad]
  void* convolution;
  std::size_t bytes;

  FoldedScratch(const PaddedBundle<T>& folded, void* memory) {
    Carver carve(memory);
    u = carve.take<T>(folded.u_count());
    weight = carve.take<T>(folded.conv(0).weight_count());
    convolution = carve.take<std::byte>(folded.convolution_bytes(ConvPass::forward));
    bytes = carve.bytes();
  }
};

/// Makes the convolution's weights, one item for V of its channels.
template <class T>
struct Folding {
  FoldedWeights<T> weights;
  T* to;
  int c_pad;
  unsigned items;

  Folding(const FoldedBundleOf<T>& p, const PaddedBundle<T>& padded, T* weight, int v)
      : weights(p),
        to(weight),
        c_pad(padded.c_pad),
        items(static_cast<unsigned>(padded.conv(0).weight_count() / v)) {}
  std::int64_t blocks() const { return blocks_for(items, bundle_threads); }

  template <int V>
  __device__ void operator()(std::int64_t item) const {
    if (item >= items) return;
    const ConvBundle& folded = weights.folded;
    const unsigned taps = folded.kernel[0] * folded.kernel[0], groups = c_pad / V,
                   row_tap = static_cast<unsigned>(item) / groups, row = row_tap / taps;
    const int at = static_cast<int>(static_cast<unsigned>(item) - row_tap * groups) * V,
              slot = static_cast<int>(row) / folded.c,
              channel = static_cast<int>(row) - slot * folded.c;
    const bool given = static_cast<int>(row) < folded.rows(0);
    const int tap = static_cast<int>(row_tap - row * taps);
    if (given && at == 0 && tap == 0)
      weights.p.mean[row] = weights.mean_of(weights.edge[slot], channel);
    Channels<V> values = {};
    if (given && at < folded.c) {
      const int e = weights.edge[slot];
      // Before the sum: divisions are calls, which spill it.
      float factor[ConvBundle::max_sizes];
      for (int s = 0; s < ConvBundle::max_sizes; ++s) factor[s] = weights.scale(s, e, channel);
      values = weights.template sum_sizes<V>(e, channel, tap, at, [&](int s) { return factor[s]; });
    }
    store_channels(to + item * V, values);
  }
};

/// The rectified input of the convolution, then its weights in blocks of their own.
template <class T, int V>
__global__ void __launch_bounds__(bundle_threads)
    rectify_and_fold_kernel(ConvBundle b, const T* x, T* u, unsigned items, int groups,
                            Folding<T> folding) {
  const std::int64_t item = global_thread();
  const unsigned blocks = (items + bundle_threads - 1) / bundle_threads;
  if (blockIdx.x >= blocks)
    folding.template operator()<V>(item - std::int64_t{blocks} * bundle_threads);
  else if (item < items)
    rectify_item<V>(b, x, u, item, groups);
}

template <class T>
void forward(const FoldedBundleOf<T>& p, void* workspace, Stream stream) {
  if (p.bundle.sizes == 0) return;
  const PaddedBundle<T> padded(p.bundle.folded());
  if (runs_bundle_tiles<T>(padded.bundle)) return folded_tile_forward(p, stream);
  const FoldedScratch<T> scratch(padded, workspace);
  dispatch_channels<widest<T>>(p.bundle.c, [&]<int V>() {
    const std::int64_t items = padded.u_count() / V;
    const Folding<T> folding(p, padded, scratch.weight, V);
    launch("folded_bundle_rectify", rectify_and_fold_kernel<T, V>,
           {blocks_for(items, bundle_threads) + folding.blocks(), bundle_threads}, stream, p.bundle,
           p.x, scratch.u, static_cast<unsigned>(items), padded.c_pad / V, folding);
  });
  convolve<T>(ConvPass::forward, padded.conv(0), scratch.u, scratch.weight, p.z,
              scratch.convolution, stream);
}

template <class T>
std::size_t workspace_bytes(const ConvBundle& b) {
  if (b.sizes == 0) return 0;
  const PaddedBundle<T> padded(b.folded());
  return runs_bundle_tiles<T>(padded.bundle) ? 0 : FoldedScratch<T>(padded, nullptr).bytes;
}

}  // namespace

template <>
std::size_t folded_bundle_workspace<Device::cuda>(const FoldedBundleOf<float>& p) {
  return workspace_bytes<float>(p.bundle);
}
template <>
void folded_bundle_forward<Device::cuda>(const FoldedBundleOf<float>& p, void* workspace,
                                         Stream stream) {
  forward(p, workspace, stream);
}
template <>
std::size_t folded_bundle_workspace<Device::cuda>(const FoldedBundleOf<bfloat16>& p) {
  return workspace_bytes<bfloat16>(p.bundle);
}
template <>
void folded_bundle_forward<Device::cuda>(const FoldedBundleOf<bfloat16>& p, void* workspace,
                                         Stream stream) {
  forward(p, workspace, stream);
}

}  // namespace drnas::kernels
