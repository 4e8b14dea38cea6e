// SPDX-License-Identifier: MIT
// Where the kernels that convolve a bundle themselves have dz from, for .cu files: formed as it is
// loaded, dz = A dy + B z + C, or from memory.
#pragma once

#include "kernels/bundle/bundle_tiles.h"
#include "kernels/bundle/conv_bundle_gradient.h"

namespace drnas::kernels {
namespace {

template <class T>
struct BundleDifferential {
  ConvBundleBackwardOf<T> p;
  const T* stored[ConvBundle::max_sizes] = {};  ///< [pixels, z_channels]; null: formed
  std::uint8_t edge[ConvBundle::max_sizes][ConvBundle::max_edges] = {};  ///< of a size's slots

  explicit BundleDifferential(const ConvBundleBackwardOf<T>& of) : p(of) {
    for (int s = 0; s < p.bundle.sizes; ++s)
      for (int e = 0; e < p.bundle.edges; ++e)
        if (p.bundle.has(s, e)) edge[s][p.bundle.slot(s, e)] = static_cast<std::uint8_t>(e);
  }
};

/// For load_tile: a chunk of channels of dz, all of one edge where it is formed. `whole`: chunks of
/// stored dz are too.
template <class Numbers, bool whole, class T>
struct DifferentialChunk {
  static constexpr int E = chunk_channels<Numbers>;
  const T *first, *second;  ///< the chunk of dz, or of dy and z; null: zeros
  int first_stride, second_stride;
  int width, count;           ///< of what is stored in part
  const float* coefficients;  ///< [3, channels] from this channel on; null: not formed
  int channels;

  /// `count` channels of z from `channel` on, stored ones by vectors of `width`.
  __device__ DifferentialChunk(const BundleDifferential<T>& k, int s, int channel, int width_,
                               int count_)
      : first(nullptr), width(width_), count(count_), coefficients(nullptr) {
    const ConvBundle& b = k.p.bundle;
    if (channel >= b.rows(s) || count <= 0) return;
    first_stride = second_stride = b.z_channels(s);
    if (k.stored[s]) {
      first = k.stored[s] + channel;
      return;
    }
    const int slot = channel / b.c, at = channel - slot * b.c;
    if (!k.p.gates.open(s, slot)) return;
    const BundleEdgeGradientOf<T>& edge = k.p.edge[k.edge[s][slot]];
    first = edge.dy + at;
    second = k.p.z[s] + channel;
    first_stride = b.x_channels;
    coefficients = edge.coefficients[s] + at;
    channels = b.c;
  }
  __device__ void operator()(int pixel, float (&v)[E]) const {
    if (!first) return;
    const T* from = first + pixel_tiles::offset_of(pixel, first_stride);
    if (!whole && !coefficients) return load_chunk(from, width, count, v);
    load_by<E>(from, E, v);
    if (!coefficients) return;
    float z[E];
    load_by<E>(second + pixel_tiles::offset_of(pixel, second_stride), E, z);
    DRNAS_UNROLL
    for (int i = 0; i < E; i += 4) {
      Coefficients<4> of;
      of.load(coefficients + i, channels);
      for (int j = 0; j < 4; ++j)
        v[i + j] = of.a.v[j] * v[i + j] + of.b.v[j] * z[i + j] + of.c.v[j];
    }
  }
};

}  // namespace
}  // namespace drnas::kernels
