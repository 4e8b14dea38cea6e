// SPDX-License-Identifier: MIT
#include "kernels/core/launch.h"
#include "kernels/train/drop_path.h"

namespace drnas::kernels {
namespace {

constexpr unsigned threads = 256;

__global__ void __launch_bounds__(threads)
    scale_kernel(DropPath p, RandomStream stream, std::int64_t count, float* scale) {
  const std::int64_t index = global_thread();
  if (index < count) scale[index] = drop_path_scale(p, stream, index);
}

}  // namespace

template <>
void drop_path_scales<Device::cuda>(const DropPath& p, float* scale, Stream stream) {
  const std::int64_t count = std::int64_t{p.operations} * p.images;
  launch("drop_path_scales", scale_kernel, {blocks_for(count, threads), threads}, stream, p,
         RandomStream(p.seed, Purpose::drop_path), count, scale);
}

}  // namespace drnas::kernels
