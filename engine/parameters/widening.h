// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/parameters/parameters.h"

namespace drnas {

/// Index map of an axis that grows from `before` to `after` channels: the old channels stay where
/// they are, each new one copies an old one chosen at random (Net2WiderNet, Chen et al., ICLR 2016,
/// without its division: DrNAS feeds the new inputs with features of their own). The choice depends
/// on seed, stage, the axis's name and the channel alone. `A|B` is the map of A, then that of B in
/// the second half. Throws Error where after < before.
std::vector<std::int32_t> widening_map(const std::string& axis, std::int64_t before,
                                       std::int64_t after, std::uint64_t seed, std::uint32_t stage);

/// A store's values on the host, for a network that makes room for its successor.
struct StoredParameters {
  std::vector<NamedSlice> parameters, statistics;
  std::vector<float> weights, velocity, statistic_values;

  explicit StoredParameters(const ParameterStore& store);
};

/// Fills the store of the wider (and pruned) network from that of the narrower one, slice by slice
/// of the same name: weights and momentum U[o, .., i] = W[g(o), .., h(i)] with the maps g and h of
/// the slice's axes, running statistics r[o] = s[g(o)]. Slices that only `from` has are dropped.
/// Throws Error naming a slice that `from` lacks, or that grows along an extent without an axis.
void widen(const StoredParameters& from, const ParameterStore& to, std::uint64_t seed,
           std::uint32_t stage);

}  // namespace drnas
