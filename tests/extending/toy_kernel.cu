// SPDX-License-Identifier: MIT
#include "kernels/core/launch.h"
#include "tests/extending/toy_kernel.h"

namespace drnas::toys {
namespace {

constexpr unsigned threads = 64;

__global__ void __launch_bounds__(threads)
    path_kernel(PathDraw p, kernels::RandomStream stream, double* theta) {
  const int index = static_cast<int>(kernels::global_thread());
  if (index < p.edges * p.ops) theta[index] = random_path(p, stream, index);
}

}  // namespace

template <>
void draw_paths<Device::cuda>(const PathDraw& p, double* theta, kernels::Stream stream) {
  kernels::launch("draw_paths", path_kernel,
                  {kernels::blocks_for(p.edges * p.ops, threads), threads}, stream, p,
                  kernels::RandomStream(p.seed, kernels::Purpose::mixing), theta);
}

}  // namespace drnas::toys
