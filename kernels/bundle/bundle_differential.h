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

/// A chunk of channels of dz, all of one edge where it is formed. For gradients of weights chunks
/// of stored dz are whole too, and a warp's sums leave no registers to hold coefficients.
template <class Numbers, bool for_weights, class T>
struct DifferentialChunk {
  static constexpr int E = chunk_channels<Numbers>, held = for_weights ? 0 : E / 4;
  using Packed = Vector<T, E>;
  const T* first;   ///< the chunk of dz where it is stored, else of dy; null: zeros
  const T* second;  ///< of z; null: dz is stored
  int first_stride, second_stride;
  int width, count;           ///< of what is stored in part
  const float* coefficients;  ///< [3, channels] from this channel on
  int channels;
  Coefficients<4> of[held > 0 ? held : 1];

  /// `count` channels of z from `channel` on, stored ones by vectors of `width`.
  __device__ DifferentialChunk(const BundleDifferential<T>& k, int s, int channel, int width_,
                               int count_)
      : first(nullptr), second(nullptr), width(width_), count(count_) {
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
    DRNAS_UNROLL
    for (int i = 0; i < held; ++i) of[i].load(coefficients + 4 * i, channels);
  }
  /// dz where it is stored, else dy.
  __device__ Packed load(int pixel) const {
    Packed out = {};
    if (!first) return out;
    const T* from = first + pixel_tiles::offset_of(pixel, first_stride);
    if (for_weights || second) return load_packed(reinterpret_cast<const Packed*>(from));
    float v[E];
    load_chunk(from, width, count, v);
    for (int i = 0; i < E; ++i) out.element[i] = static_cast<T>(v[i]);
    return out;
  }
  /// dz of what load() gave.
  __device__ void form(int pixel, const Packed& loaded, float (&v)[E]) const {
    for (int i = 0; i < E; ++i) v[i] = static_cast<float>(loaded.element[i]);
    if (!second) return;
    const auto z = load_packed(
        reinterpret_cast<const Packed*>(second + pixel_tiles::offset_of(pixel, second_stride)));
    DRNAS_UNROLL
    for (int i = 0; i < E; i += 4) {
      Coefficients<4> c = of[held > 0 ? i / 4 : 0];
      if (held == 0) c.load(coefficients + i, channels);
      for (int j = 0; j < 4; ++j)
        v[i + j] = c.a.v[j] * v[i + j] + c.b.v[j] * static_cast<float>(z.element[i + j]) + c.c.v[j];
    }
  }
  __device__ void operator()(int pixel, float (&v)[E]) const {
    if (first) form(pixel, load(pixel), v);
  }
};

/// Where dz of a kernel size goes: planes, and how far around a tile its convolution reads.
template <class Numbers>
struct DifferentialPlanes {
  Chunk<typename Numbers::Stored>* planes;
  int reach;
};

/// Fills the planes of two kernel sizes with a tile of dz and what their convolutions read around
/// it. prepare(size, channel) gives a DifferentialChunk; where both have the same dy it is read
/// once.
template <class Numbers, class Prepare>
__device__ void load_differentials(const ConvBundle& b, const TilePlanes& t,
                                   const pixel_tiles::Tile& tile,
                                   const DifferentialPlanes<Numbers>& first,
                                   const DifferentialPlanes<Numbers>& second,
                                   const Prepare& prepare) {
  constexpr int E = chunk_channels<Numbers>;
  using pixel_tiles::max_of;
  const int halo = t.halo();
  pixel_tiles::each_vector<tile_threads>(
      t.planes, t.rows_of(tile.rows), t.row_pitch, [&](int plane) {
        return [&, halo, one = prepare(0, plane * E), two = prepare(1, plane * E),
                start = plane * t.plane_pitch](int place, int row, int column) {
          const int down = row - halo, across = column - halo, i = tile.row + down,
                    j = tile.column + across,
                    outside = max_of(max_of(-down, down - tile.rows + 1),
                                     max_of(-across, across - t.grid.columns + 1));
          const bool inside = i >= 0 && i < b.h && j >= 0 && j < b.w;
          const int pixel = tile.first_pixel + i * b.w + j;
          const auto put = [&](const auto& chunk, const auto& loaded,
                               const DifferentialPlanes<Numbers>& to) {
            if (outside > to.reach) return;
            float v[E] = {};
            if (inside) chunk.form(pixel, loaded, v);
            store_operand<Numbers>(to.planes + start + place, v);
          };
          typename decltype(one)::Packed loaded = {};
          if (inside) loaded = one.load(pixel);
          put(one, loaded, first);
          if (inside && one.first != two.first) loaded = two.load(pixel);
          put(two, loaded, second);
        };
      });
}

}  // namespace
}  // namespace drnas::kernels
