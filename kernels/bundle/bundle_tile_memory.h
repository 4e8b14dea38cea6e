// SPDX-License-Identifier: MIT
// A block's shared memory where kernels convolve a bundle themselves.
#pragma once

#include <algorithm>

#include "kernels/bundle/bundle_tiling.h"

namespace drnas::kernels {

/// Mean, sum of squared deviations, and number of some pixels of a channel.
struct alignas(16) TilePart {
  float mean, m2, count, unused;
};

struct TileMemory {
  Bytes16* u;       ///< [inputs][planes][rows][columns] with the halo; then zeros
  TilePart* parts;  ///< [max_sizes][tile_warps][slice]
  unsigned* last;
  std::size_t bytes = 0;

  /// With a null base it only counts.
  DRNAS_HD TileMemory(const BundleTiling& t, void* base) {
    SharedCarver carve{static_cast<unsigned char*>(base)};
    u = carve.take<Bytes16>(zero(t) + 1);
    first_weights_ = carve.take<Bytes16>(t.chunks[0] * t.weight_pitch());
    second_weights_ = carve.take<Bytes16>(t.chunks[1] * t.weight_pitch());
    parts = carve.take<TilePart>(ConvBundle::max_sizes * tile_warps * t.slice());
    first_offsets_ = carve.take<int>(t.chunks[0]);
    second_offsets_ = carve.take<int>(t.chunks[1]);
    last = carve.take<unsigned>(1);
    bytes = carve.bytes;
  }
  // Chosen rather than indexed: an array of pointers would need a stack.
  DRNAS_HD Bytes16* weights(int s) const {  ///< [chunks][weight_pitch]
    return s == 0 ? first_weights_ : second_weights_;
  }
  DRNAS_HD int* offsets(int s) const {  ///< [chunks], see LeftOperand
    return s == 0 ? first_offsets_ : second_offsets_;
  }
  /// Index of the zeros in u.
  DRNAS_HD static int zero(const BundleTiling& t) { return t.inputs * t.planes * t.plane_pitch; }
  /// Chunks of u and the zeros: what follows may be of other use before filters are loaded, and
  /// after they have been multiplied.
  DRNAS_HD static int inputs(const BundleTiling& t) { return zero(t) + 1; }
  /// Of a block with such a use of so many bytes.
  static std::size_t bytes_with(const BundleTiling& t, std::size_t other) {
    return std::max(t.shared_bytes(),
                    sizeof(Bytes16) * static_cast<std::size_t>(inputs(t)) + other);
  }

 private:
  Bytes16 *first_weights_, *second_weights_;
  int *first_offsets_, *second_offsets_;
};

}  // namespace drnas::kernels
