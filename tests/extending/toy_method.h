// SPDX-License-Identifier: MIT
// A method of one's own, in one file: weights trained under random single paths (Li and Talwalkar,
// UAI 2019, without its sampled selection). docs/extending.md walks through it.
#pragma once

#include "nas/method/search_method.h"

namespace drnas::toys {

/// theta: one operation an edge, chosen at random for each draw; alpha never moves.
class RandomPathLaw final : public Law {
 public:
  RandomPathLaw(Alpha alpha, std::uint64_t seed);

  const Tensor& draw(const std::uint32_t* step) override;
  void backward(const Tensor&) override {}  // alpha's gradient is 0 from the start
  std::vector<std::vector<double>> mean() const override;
  std::vector<std::vector<double>> concentrations() const override { return mean(); }

 private:
  std::uint64_t seed_;
  Tensor theta_;
};

/// The row of the registry: add_search_method(random_paths) makes it --method random-paths.
extern const MethodInfo random_paths;

}  // namespace drnas::toys
