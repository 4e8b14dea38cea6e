// SPDX-License-Identifier: MIT
// The sum of one weight's parts, for .cu files.
#pragma once

#include "kernels/bundle/bundle_tile_weights.h"
#include "kernels/layers/weight_product.h"

namespace drnas::kernels {
namespace {

/// In the order of the shares. Items from sums.weights on mean nothing.
__device__ inline void add_weight(const WeightSums& sums, std::int64_t item) {
  if (item >= sums.weights) return;
  const int s = item < sums.first_size ? 0 : 1;
  if (!sums.to[s]) return;
  const unsigned at = static_cast<unsigned>(item - (s == 0 ? 0 : sums.first_size));
  const bool runs =
      sums.gates.open(s, static_cast<int>(at / static_cast<unsigned>(sums.slot_weights[s])));
  sums.to[s][at] = runs ? sum_parts(sums.parts + item, sums.shares, sums.weights) : 0.0f;
}

}  // namespace
}  // namespace drnas::kernels
