// SPDX-License-Identifier: MIT
// Masks of candidate operations, [edges, ops] row by row.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

namespace drnas::test {

using Kept = std::vector<std::uint8_t>;

/// One operation an edge at least, all of them at most.
inline Kept random_kept(std::mt19937_64& rng, int edges, int ops) {
  Kept kept;
  for (int e = 0; e < edges; ++e) {
    const unsigned mask = 1 + static_cast<unsigned>(rng() % ((1u << ops) - 1));
    for (int op = 0; op < ops; ++op) kept.push_back(mask >> op & 1);
  }
  return kept;
}

/// The same operations on every edge.
inline Kept kept_everywhere(int edges, int ops, const std::vector<int>& of_edge) {
  Kept kept(static_cast<std::size_t>(edges) * ops, 0);
  for (int e = 0; e < edges; ++e)
    for (const int op : of_edge) kept[e * ops + op] = 1;
  return kept;
}

}  // namespace drnas::test
