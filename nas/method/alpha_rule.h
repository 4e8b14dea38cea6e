// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/parameters/state_archive.h"
#include "nas/method/law.h"

namespace drnas {

/// How alpha moves, given its gradient.
class AlphaRule : public AlphaUpdate {
 public:
  /// The same from the gradient that the law's alpha holds.
  virtual void update_by_gradient(const Tensor& squared_norm) = 0;
  /// What the rule keeps of these operations rests at zero from now on.
  virtual void prune(const std::vector<std::uint8_t>& kept) = 0;
  virtual void archive(StateArchive& archive) = 0;
};

/// Adam on alpha (published DrNAS values), with what draws it back.
struct AdamOptions {
  double learning_rate = 3e-4, beta1 = 0.5, beta2 = 0.999, eps = 1e-8;
  double l2 = 1e-3;      ///< added to alpha's gradient as l2 * alpha: draws beta towards 1
  double kl = 0;         ///< weight of sum over edges of KL(Dirichlet(beta) || Dirichlet(1))
  double grad_clip = 0;  ///< by the L2 norm of alpha's gradient; 0 means none
};
/// The law outlives it. Throws Error where options.kl is not zero and the law is no Dirichlet.
std::unique_ptr<AlphaRule> make_adam_rule(Law& law, const AdamOptions& options);

/// Exponentiated gradient for a law whose alpha lies on the simplex: see
/// kernels::ExponentiatedStep. Weights below `floor` are lifted to it.
std::unique_ptr<AlphaRule> make_exponentiated_rule(Law& law, double learning_rate,
                                                   double floor = 1e-5);

}  // namespace drnas
