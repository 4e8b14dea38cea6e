// SPDX-License-Identifier: MIT
// A kernel of one's own, with its twins. docs/extending.md walks through it.
#pragma once

#include <cstdint>

#include "kernels/core/device.h"
#include "kernels/random/philox.h"

namespace drnas::toys {

/// Chooses one operation an edge at random, all alike. u in [0, 1) is word 0 of the block of
/// element `edge`:
///   theta[edge*ops + op] = op == floor(u * ops) ? 1 : 0
/// Deterministic; no gradient.
struct PathDraw {
  int edges, ops;
  std::uint64_t seed;
  const std::uint32_t* step;  ///< [1], in the device's memory: number of the draw
};
/// theta: [edges, ops] float64.
template <Device D>
void draw_paths(const PathDraw& p, double* theta, kernels::Stream stream);

/// Element `index` of theta.
DRNAS_HD inline double random_path(const PathDraw& p, const kernels::RandomStream& stream,
                                   int index) {
  const int edge = index / p.ops, op = index % p.ops;
  const float u = stream.uniform(*p.step, static_cast<std::uint32_t>(edge));
  return op == static_cast<int>(u * static_cast<float>(p.ops)) ? 1.0 : 0.0;
}

}  // namespace drnas::toys
