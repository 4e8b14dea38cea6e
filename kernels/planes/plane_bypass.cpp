// SPDX-License-Identifier: MIT
#include "kernels/planes/plane_loops.h"
#include "kernels/planes/plane_mix.h"

namespace drnas::kernels {

template <>
std::size_t plane_bypass_workspace<Device::cpu>(const PlaneMix& p) {
  return sizeof(double) * static_cast<std::size_t>(p.n) *
         static_cast<std::size_t>(p.channels - p.c);
}

template <>
void plane_bypass_backward<Device::cpu>(const PlaneMixBackward& b, void* workspace, Stream) {
  const PlaneMix& p = b.mix;
  double* of_planes = static_cast<double*>(workspace);  // [n, channels - c]
  const int bypassed = p.channels - p.c;
  for (int s = 0; s < p.sources; ++s) {
    const int theta = p.source[s].bypass_theta;
    if (theta < 0) continue;
    each_plane(p.n, bypassed, [&](std::int64_t image, int channel) {
      const int part = 1 + channel / p.c, ch = channel % p.c;
      const float* dy = plane_of(b.dy, p.pixels, image, std::int64_t{ch} * p.parts() + part);
      const float* x = plane_of(p.source[s].bypass, p.pixels, image, channel);
      double sum = 0;
      for (std::int64_t first = 0; first < p.pixels; first += 64) {
        float of_block = 0;
        for (std::int64_t i = first; i < std::min(first + 64, p.pixels); ++i)
          of_block += dy[i] * x[i];
        sum += of_block;
      }
      of_planes[image * bypassed + channel] = sum;
    });
    for (std::int64_t i = 0; i < std::int64_t{p.n} * bypassed; ++i) b.dtheta[theta] += of_planes[i];
  }
}

}  // namespace drnas::kernels
