// SPDX-License-Identifier: MIT
#include "kernels/bundle/conv_bundle_device.h"
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
  FoldedBundleOf<T> p;
  ConvBundle folded;
  int edge[ConvBundle::max_edges] = {};  // of a slot
  T* weight;
  int c_pad;
  unsigned items;

  Folding(const FoldedBundleOf<T>& p_, const PaddedBundle<T>& padded, T* weight_, int v)
      : p(p_),
        folded(padded.bundle),
        weight(weight_),
        c_pad(padded.c_pad),
        items(static_cast<unsigned>(padded.conv(0).weight_count() / v)) {
    for (int e = 0; e < folded.edges; ++e)
      if (folded.has(0, e)) edge[folded.slot(0, e)] = e;
  }
  std::int64_t blocks() const { return blocks_for(items, bundle_threads); }

  /// theta inv_std of a row of one size.
  __device__ float scale(int s, int e, int row) const {
    return static_cast<float>(p.theta[p.theta_index[s][e]]) / sqrtf(p.running_var[s][row] + p.eps);
  }
  /// The row of an edge's channel in the weights of one size.
  __device__ int row_of(int s, int e, int channel) const {
    return p.bundle.slot(s, e) * p.bundle.c + channel;
  }
  template <int V>
  __device__ Channels<V> sum_sizes(int e, int channel, int tap, int at) const {
    const ConvBundle& b = p.bundle;
    const int k = folded.kernel[0], i = tap / k, j = tap - i * k;
    float factor[ConvBundle::max_sizes];  // before the sum: divisions are calls, which spill it
    for (int s = 0; s < ConvBundle::max_sizes; ++s)
      factor[s] = s < b.sizes && b.has(s, e) ? scale(s, e, row_of(s, e, channel)) : 0.0f;
    Channels<V> sum = {};
    for (int s = 0; s < ConvBundle::max_sizes; ++s) {
      if (s >= b.sizes || !b.has(s, e)) continue;
      const int size = b.kernel[s], border = (k - size) / 2, row = i - border, column = j - border;
      if (row < 0 || row >= size || column < 0 || column >= size) continue;
      const std::int64_t of = row_of(s, e, channel);
      const float* from = p.weight[s] + ((of * size + row) * size + column) * b.c;
      constexpr int piece = V < 4 ? V : 4;
      for (int first = 0; first < V; first += piece) {
        const Channels<piece> weights = load_channels<piece>(from + at + first);
        for (int v = 0; v < piece; ++v) sum.v[first + v] += factor[s] * weights.v[v];
      }
    }
    return sum;
  }
  __device__ float mean_of(int e, int channel) const {
    float sum = 0.0f;
    for (int s = 0; s < p.bundle.sizes; ++s) {
      if (!p.bundle.has(s, e)) continue;
      const int row = row_of(s, e, channel);
      sum += scale(s, e, row) * p.running_mean[s][row];
    }
    return sum;
  }
  template <int V>
  __device__ void operator()(std::int64_t item) const {
    if (item >= items) return;
    const unsigned taps = folded.kernel[0] * folded.kernel[0], groups = c_pad / V,
                   row_tap = static_cast<unsigned>(item) / groups, row = row_tap / taps;
    const int at = static_cast<int>(static_cast<unsigned>(item) - row_tap * groups) * V,
              slot = static_cast<int>(row) / folded.c,
              channel = static_cast<int>(row) - slot * folded.c;
    const bool given = static_cast<int>(row) < folded.rows(0);
    const int tap = static_cast<int>(row_tap - row * taps);
    Channels<V> values = {};
    if (given && at < folded.c) values = sum_sizes<V>(edge[slot], channel, tap, at);
    store_channels(weight + item * V, values);
    if (given && at == 0 && tap == 0) p.mean[row] = mean_of(edge[slot], channel);
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
  return b.sizes == 0 ? 0 : FoldedScratch<T>(PaddedBundle<T>(b.folded()), nullptr).bytes;
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
