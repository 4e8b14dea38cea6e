// SPDX-License-Identifier: MIT
// Weights in which batch norm and mixing weights are folded, for .cu files; see FoldedBundleOf.
#pragma once

#include "kernels/bundle/conv_bundle_device.h"

namespace drnas::kernels {
namespace {

/// Where the folded convolution's weights come from.
template <class T>
struct FoldedWeights {
  FoldedBundleOf<T> p;
  ConvBundle folded;
  int edge[ConvBundle::max_edges] = {};  // of a slot

  explicit FoldedWeights(const FoldedBundleOf<T>& p_) : p(p_), folded(p_.bundle.folded()) {
    for (int e = 0; e < folded.edges; ++e)
      if (folded.has(0, e)) edge[folded.slot(0, e)] = e;
  }
  /// The row of an edge's channel in the weights of one size.
  __device__ int row_of(int s, int e, int channel) const {
    return p.bundle.slot(s, e) * p.bundle.c + channel;
  }
  /// theta inv_std of an edge's channel of one size; 0 where the edge lacks it.
  __device__ float scale(int s, int e, int channel) const {
    if (s >= p.bundle.sizes || !p.bundle.has(s, e)) return 0.0f;
    const int row = row_of(s, e, channel);
    return static_cast<float>(p.theta[p.theta_index[s][e]]) / sqrtf(p.running_var[s][row] + p.eps);
  }
  /// V weights of a channel from its `at` on; factor(s) is its scale.
  template <int V, class Factor>
  __device__ Channels<V> sum_sizes(int e, int channel, int tap, int at,
                                   const Factor& factor) const {
    const ConvBundle& b = p.bundle;
    const int k = folded.kernel[0], i = tap / k, j = tap - i * k;
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
        for (int v = 0; v < piece; ++v) sum.v[first + v] += factor(s) * weights.v[v];
      }
    }
    return sum;
  }
  __device__ float mean_of(int e, int channel) const {
    float sum = 0.0f;
    for (int s = 0; s < p.bundle.sizes; ++s)
      if (p.bundle.has(s, e))
        sum += scale(s, e, channel) * p.running_mean[s][row_of(s, e, channel)];
    return sum;
  }
};

}  // namespace
}  // namespace drnas::kernels
