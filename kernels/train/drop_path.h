// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kernels/core/device.h"
#include "kernels/random/philox.h"

namespace drnas::kernels {

/// Drop path (Larsson et al., ICLR 2017): what multiplies the result of operation o on image i, 0
/// with probability p and else 1/(1 - p). One draw serves all operations of a pass; u in [0, 1) is
/// word 0 of the block of element i*operations + o, so that it does not depend on the batch.
///   scale[o*images + i] = u < p ? 0 : 1/(1 - p)
struct DropPath {
  int operations, images;
  std::uint64_t seed;
  const float* probability;   ///< [1], in the device's memory, 0 <= p <= 1
  const std::uint32_t* step;  ///< [1], likewise: number of the draw
};
template <Device D>
void drop_path_scales(const DropPath& p, float* scale, Stream);

/// Element `index` of `scale`.
DRNAS_HD inline float drop_path_scale(const DropPath& p, const RandomStream& stream,
                                      std::int64_t index) {
  const std::int64_t operation = index / p.images, image = index % p.images;
  const float u =
      stream.uniform(*p.step, static_cast<std::uint32_t>(image * p.operations + operation));
  return u < *p.probability ? 0.0f : 1.0f / (1.0f - *p.probability);
}

}  // namespace drnas::kernels
