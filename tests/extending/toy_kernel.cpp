// SPDX-License-Identifier: MIT
#include "tests/extending/toy_kernel.h"

namespace drnas::toys {

template <>
void draw_paths<Device::cpu>(const PathDraw& p, double* theta, kernels::Stream) {
  const kernels::RandomStream stream(p.seed, kernels::Purpose::mixing);
  for (int i = 0; i < p.edges * p.ops; ++i) theta[i] = random_path(p, stream, i);
}

}  // namespace drnas::toys
