// SPDX-License-Identifier: MIT
// Passes of a supernet at mixing weights that are given, without a law.
#pragma once

#include <vector>

#include "nas/method/law.h"

namespace drnas::test {

struct GivenTheta final : ThetaSource {
  const Tensor& draw(const std::uint32_t*) override { return none; }
  void backward(const Tensor&) override {}
  const Tensor& alpha_gradient() const override { return none; }
  Tensor none;
};

/// What a pass leaves.
struct PassOutcome {
  double loss;
  std::vector<double> dtheta;
  std::vector<float> gradients, statistics;
};

}  // namespace drnas::test
