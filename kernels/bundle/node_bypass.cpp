// SPDX-License-Identifier: MIT
#include "kernels/bundle/node_mix.h"
#include "kernels/core/parallel.h"

namespace drnas::kernels {

template <>
std::size_t node_bypass_workspace<Device::cpu>(const NodeMix& p) {
  return sizeof(double) * static_cast<std::size_t>(p.n) * static_cast<std::size_t>(p.sources);
}

template <>
void node_bypass_backward<Device::cpu>(const NodeMixBackward& b, void* workspace, Stream) {
  const NodeMix& p = b.mix;
  double* of_images = static_cast<double*>(workspace);  // [sources, n]
  const std::int64_t pixels = std::int64_t{p.h} * p.w;
  for (int s = 0; s < p.sources; ++s) {
    if (p.source[s].bypass_theta < 0) continue;
    double* sums = of_images + std::int64_t{s} * p.n;
    parallel_ranges(p.n, [&](int, std::int64_t begin, std::int64_t end) {
      for (std::int64_t image = begin; image < end; ++image) {
        sums[image] = 0;
        for (std::int64_t i = image * pixels; i < (image + 1) * pixels; ++i) {
          const float *dy = b.dy + i * p.channels, *x = p.source[s].x + i * p.channels;
          float of_pixel = 0;
          for (int part = 1; part < p.parts(); ++part)
            for (int ch = 0; ch < p.c; ++ch)
              of_pixel += dy[ch * p.parts() + part] * x[part * p.c + ch];
          sums[image] += of_pixel;
        }
      }
    });
    for (int image = 0; image < p.n; ++image) b.dtheta[p.source[s].bypass_theta] += sums[image];
  }
}

}  // namespace drnas::kernels
