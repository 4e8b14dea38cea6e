// SPDX-License-Identifier: MIT
// SETN (Dong and Yang, ICCV 2019): weights learn on cells that are drawn from softmax(alpha), alpha
// learns from the mixture of all operations. The search ends with the best of drawn cells
// (--select sampled).
#include "nas/method/bilevel.h"
#include "nas/method/methods.h"

namespace drnas {

namespace {

/// theta = softmax(alpha) itself of a law that draws; the gradient is the law's.
class Mixture final : public ThetaSource {
 public:
  explicit Mixture(GumbelLaw& law) : law_(law), theta_(law.alpha().make_table()) {}
  const Tensor& draw(const std::uint32_t*) override {
    law_.softmax_of_alpha(theta_);
    return theta_;
  }
  void backward(const Tensor& dtheta) override { law_.backward(dtheta); }
  const Tensor& alpha_gradient() const override { return law_.alpha_gradient(); }

 private:
  GumbelLaw& law_;
  Tensor theta_;
};

std::unique_ptr<SearchMethod> make_setn(const MethodOptions& o) {
  auto law =
      make_gumbel_law({o.edges, o.ops, o.seed, o.device}, o.seed, 1, GumbelLaw::Gradient::softmax);
  BilevelParts parts;
  parts.rule = make_adam_rule(*law, o.adam);
  parts.of_alpha = std::make_unique<Mixture>(*law);
  parts.architecture.source = parts.of_alpha.get();
  parts.of_weights = make_one_of(*law, o.seed);
  parts.weights = passes::weights.running(OperationsRun::weighted);
  parts.evaluation = passes::evaluation.running(OperationsRun::weighted);
  parts.weights.source = parts.evaluation.source = parts.of_weights.get();
  parts.law = std::move(law);
  return make_bilevel(std::move(parts), o);
}

}  // namespace

const MethodInfo setn_method{.name = "setn",
                             .summary = "weights by sampled cells, alpha by their mixture",
                             .draws_from_dirichlet = false,
                             .make = make_setn};

}  // namespace drnas
