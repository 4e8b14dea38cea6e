// SPDX-License-Identifier: MIT
#include "kernels/train/drop_path.h"

namespace drnas::kernels {

template <>
void drop_path_scales<Device::cpu>(const DropPath& p, float* scale, Stream) {
  const RandomStream stream(p.seed, Purpose::drop_path);
  const std::int64_t count = std::int64_t{p.operations} * p.images;
  for (std::int64_t i = 0; i < count; ++i) scale[i] = drop_path_scale(p, stream, i);
}

}  // namespace drnas::kernels
