// SPDX-License-Identifier: MIT
// Selections by themselves: an accuracy that is known as a function of theta.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "nas/search/selection.h"
#include "tests/support/random.h"

namespace drnas::test {

inline const SearchSpace& nb201() { return search_space("nas-bench-201"); }
inline const SearchSpace& darts() { return search_space("darts"); }

/// Weights above zero, whose logarithms deviate by `spread`.
inline EdgeWeights random_weights(const SearchSpace& space, bool none, std::uint64_t seed,
                                  double spread = 1) {
  const auto [edges, operations] = theta_shape(space, none);
  auto rng = generator(seed);
  EdgeWeights weights(static_cast<std::size_t>(edges));
  for (auto& row : weights)
    for (int op = 0; op < operations; ++op) row.push_back(std::exp(spread * normals(rng, 1)[0]));
  return weights;
}

inline std::size_t largest(const std::vector<double>& row) {
  return static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

/// The accuracy is the sum of theta times what each operation is worth. Keeps what it was asked.
struct Worth {
  EdgeWeights worth;
  std::vector<EdgeWeights> seen = {};

  std::optional<SelectionProbe> operator()(const EdgeWeights& theta) {
    seen.push_back(theta);
    double sum = 0;
    for (std::size_t edge = 0; edge < worth.size(); ++edge)
      for (std::size_t op = 0; op < worth[edge].size(); ++op)
        sum += theta[edge][op] * worth[edge][op];
    return SelectionProbe{"", sum, 100 - sum};
  }
};

}  // namespace drnas::test
