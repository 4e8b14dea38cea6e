// SPDX-License-Identifier: MIT
// ProxylessNAS (Cai et al., ICLR 2019): one operation of each edge, drawn from softmax(alpha), runs
// in a step of the weights. Every fifth step alpha learns on a validation batch, from the
// derivatives of gates: of all operations, or of two that are drawn, of which one passes.
#include "engine/stream.h"
#include "kernels/alpha/mixing.h"
#include "nas/method/bilevel.h"
#include "nas/method/methods.h"

namespace drnas {

namespace {

/// Adam, after which the pair that was drawn has the probability that it had before.
class PairRule final : public AlphaRule {
 public:
  PairRule(GumbelLaw& law, const AdamOptions& options)
      : law_(law), adam_(make_adam_rule(law, options)), before_(law.alpha().make_table()) {}

  void update(const Tensor& dtheta, const Tensor& squared_norm) override {
    law_.backward(dtheta);
    update_by_gradient(squared_norm);
  }
  void update_by_gradient(const Tensor& squared_norm) override {
    Alpha& alpha = law_.alpha();
    copy(alpha.values, before_);
    adam_->update_by_gradient(squared_norm);
    dispatch(before_.device(), [&]<Device D>() {
      execute([&] {
        kernels::keep_mass<D>(alpha.edges, alpha.ops, law_.theta().data<double>(),
                              before_.data<double>(), alpha.values.data<double>(),
                              compute_stream(D));
      });
    });
  }
  void prune(const std::vector<std::uint8_t>& kept) override { adam_->prune(kept); }
  void archive(StateArchive& archive) override { adam_->archive(archive); }

 private:
  GumbelLaw& law_;
  std::unique_ptr<AlphaRule> adam_;
  Tensor before_;
};

std::unique_ptr<SearchMethod> make_proxyless(const MethodOptions& o, bool pair) {
  auto law = make_gumbel_law({o.edges, o.ops, o.seed, o.device}, o.seed, pair ? 2 : 1,
                             pair ? GumbelLaw::Gradient::pair : GumbelLaw::Gradient::softmax);
  BilevelParts parts;
  parts.weights = passes::weights.running(OperationsRun::weighted);
  parts.evaluation = passes::evaluation.running(OperationsRun::weighted);
  parts.of_weights = make_one_of(*law, o.seed);
  parts.weights.source = parts.evaluation.source = parts.of_weights.get();
  if (pair) {
    parts.rule = std::make_unique<PairRule>(*law, o.adam);
    parts.architecture = passes::architecture.running(OperationsRun::weighted);
  } else {
    parts.rule = make_adam_rule(*law, o.adam);
  }
  parts.law = std::move(law);
  parts.alpha_every = 5;
  return make_bilevel(std::move(parts), o);
}

}  // namespace

const MethodInfo proxyless_method{
    .name = "proxyless",
    .summary = "sampled gates",
    .draws_from_dirichlet = false,
    .make = [](const MethodOptions& o) { return make_proxyless(o, false); }};

const MethodInfo proxyless_two_method{
    .name = "proxyless-two",
    .summary = "gates of two sampled operations",
    .draws_from_dirichlet = false,
    .make = [](const MethodOptions& o) { return make_proxyless(o, true); }};

}  // namespace drnas
