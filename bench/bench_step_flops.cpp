// SPDX-License-Identifier: MIT
#include "bench/bench_step_flops.h"

#include "nas/space/darts/darts_supernet.h"

namespace drnas::bench {
namespace {

/// Stem, cells of 60 C^2 multiply-adds a pixel, residual blocks.
double nb201_macs(const SupernetOptions& o, double side) {
  double macs = 27.0 * o.channels * side * side;
  for (int stage = 0; stage < 3; ++stage) {
    const double c = o.channels << stage, pixels = side * side / (1 << (2 * stage)),
                 mixed = c / o.partial_channels;
    macs += 60.0 * o.cells * mixed * mixed * pixels;
    if (stage) macs += (9.0 * c * c / 2 + 9.0 * c * c + c * c / 2) * pixels;
  }
  return macs;
}

/// Both preprocessings, and on each edge 102 c of depthwise filters and 6 c^2 of 1x1 convolutions a
/// pixel of its result; eight edges of a reduction cell have a factorised reduction too.
double darts_cell_macs(double inputs, double c, double pixels, double mixed, bool reduction) {
  constexpr double depthwise = 2 * 9 + 2 * 25 + 9 + 25, pointwise = 6, reductions = 8;
  const double results = reduction ? pixels / 4 : pixels, edges = DartsSupernet::cell_edges;
  const double products = pointwise * edges + (reduction ? reductions : 0);
  return inputs * c * pixels + (depthwise * edges * mixed + products * mixed * mixed) * results;
}

double darts_macs(const SupernetOptions& o, double side) {
  const double width = 3.0 * o.channels;
  double macs = 27 * width * side * side, pixels = side * side;
  if (o.space == SearchSpace::darts_imagenet) {
    macs = 27 * width / 2 * pixels / 4 + 9 * width / 2 * width * pixels / 16 +
           9 * width * width * pixels / 64;
    pixels /= 64;
  }
  double before = width, last = width, c = o.channels;
  for (int i = 0; i < o.cells; ++i) {
    const bool reduction = i == o.cells / 3 || i == 2 * o.cells / 3;
    if (reduction) c *= 2;
    macs += darts_cell_macs(before + last, c, pixels, c / o.partial_channels, reduction);
    if (reduction) pixels /= 4;
    before = last;
    last = DartsSupernet::nodes * c;
  }
  return macs;
}

}  // namespace

double forward_macs(const SupernetOptions& o, int image_size) {
  return o.space == SearchSpace::nas_bench_201 ? nb201_macs(o, image_size)
                                               : darts_macs(o, image_size);
}

}  // namespace drnas::bench
