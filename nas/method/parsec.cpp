// SPDX-License-Identifier: MIT
// PARSEC (Casale et al., 2019), a reimplementation from the paper: several cells are drawn from
// softmax(alpha); by importance weights, the softmax of their log-likelihoods on a validation
// batch, the weights learn from the sum of their training gradients and alpha from that of their
// scores.
#include <algorithm>
#include <cmath>

#include "engine/memory/planning.h"
#include "engine/stream.h"
#include "nas/method/methods.h"
#include "nas/step/weight_shift.h"

namespace drnas {

namespace {

/// Cells a step.
constexpr int cells = 4;

constexpr PassSetting likelihood{.name = "log-likelihood of a cell",
                                 .theta = PassTheta::given,
                                 .norm = PassNorm::batch_only,
                                 .run = OperationsRun::weighted};
constexpr PassSetting gradient{.name = "gradient of a cell",
                               .theta = PassTheta::given,
                               .weight_gradients = true,
                               .run = OperationsRun::weighted};

/// softmax(scores).
std::vector<double> importance(std::vector<double> scores) {
  const double largest = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (double& s : scores) sum += s = std::exp(s - largest);
  for (double& s : scores) s /= sum;
  return scores;
}

class Parsec final : public SearchMethod {
 public:
  explicit Parsec(const MethodOptions& o)
      : law_(make_gumbel_law({o.edges, o.ops, o.seed, o.device}, o.seed, 1,
                             GumbelLaw::Gradient::score)),
        rule_(make_adam_rule(*law_, o.adam)),
        ranking_(o.ranking) {
    norm_ = Tensor::zeros({1, 1, 1, 1}, MemoryTag::optimizer, o.device, DType::f64);
    evaluation_.norm = o.evaluation_norm;
  }

  Law& law() override { return *law_; }
  AlphaUpdate& alpha_update() override { return *rule_; }
  PassSetting evaluation() const override { return evaluation_; }

  MethodResult step(const MethodStep& s) override {
    SupernetTrainer& trainer = s.trainer;
    std::vector<std::vector<double>> drawn;
    std::vector<double> scores;
    const DeviceBatch& validation = s.alpha_batches.next();
    ++alpha_batches_;
    MethodResult result;
    for (int k = 0; k < cells; ++k) {
      drawn.push_back(download<double>(law_->sample(trainer.next_draw())));
      trainer.give_theta(drawn.back());
      StepResult found = trainer.run(likelihood, validation);
      scores.push_back(-found.loss * found.count);
      if (s.alpha_learns) result.alpha = found;
    }
    // Every cell counts the same before alpha learns.
    const std::vector<double> shares =
        importance(s.alpha_learns ? scores : std::vector<double>(scores.size()));
    result.weights = learn_weights(s, drawn, shares);
    if (!s.alpha_learns) return result;
    result.alpha->loss = 0;  // as weighed, like that of the weights
    for (int k = 0; k < cells; ++k)
      result.alpha->loss -= shares[k] * scores[k] / result.alpha->count;
    learn_alpha(drawn, shares, trainer.theta_cost(), *result.alpha);
    return result;
  }
  std::int64_t alpha_batches_used() const override { return alpha_batches_; }

  Architecture choose(const SearchSpace& space, bool none) const override {
    return space.derive(law_->ranked_by(ranking_), none);
  }
  std::vector<std::uint8_t> choose_kept(int keep) const override {
    const Alpha& alpha = law_->alpha();
    return keep_largest(alpha.rows(alpha.values), alpha.kept_entries(), keep);
  }
  void prune(const std::vector<std::uint8_t>& kept) override {
    law_->alpha().prune(kept);
    rule_->prune(kept);
  }
  void archive(StateArchive& a) override {
    a.table("alpha", law_->alpha().values);
    a.value("alpha.batches", alpha_batches_);
    rule_->archive(a);
  }

 private:
  /// One step of SGD by the weighted sum of the cells' gradients.
  StepResult learn_weights(const MethodStep& s, const std::vector<std::vector<double>>& drawn,
                           const std::vector<double>& shares) {
    SupernetTrainer& trainer = s.trainer;
    GradientSum sum(trainer.supernet().parameters());
    const DeviceBatch& batch = s.weight_batches.next();
    StepResult result;
    double loss = 0;
    for (std::size_t k = 0; k < drawn.size(); ++k) {
      trainer.give_theta(drawn[k]);
      result = trainer.run(gradient, batch);
      loss += shares[k] * result.loss;
      sum.add(shares[k]);
    }
    sum.finish();
    result.loss = loss;
    result.gradient_norm = trainer.update_weights_by_gradients();
    return result;
  }
  /// -sum of shares d/dalpha log p(cell): p - onehot, weighted. A cost is a linear function of p,
  /// whose gradient by alpha is p (cost - sum p cost) within an edge.
  void learn_alpha(const std::vector<std::vector<double>>& drawn, const std::vector<double>& shares,
                   const std::vector<double>& cost, StepResult& result) {
    std::vector<double> dalpha;
    for (const std::vector<double>& row : law_->ranked_by(Ranking::softmax)) {
      const std::size_t first = dalpha.size();
      double mean = 0;
      for (std::size_t op = 0; op < row.size() && !cost.empty(); ++op)
        mean += row[op] * cost[first + op];
      for (std::size_t op = 0; op < row.size(); ++op)
        dalpha.push_back(row[op] * (cost.empty() ? 1 : 1 + cost[first + op] - mean));
    }
    for (std::size_t k = 0; k < drawn.size(); ++k)
      for (std::size_t i = 0; i < dalpha.size(); ++i) dalpha[i] -= shares[k] * drawn[k][i];
    upload<double>(dalpha, law_->alpha().gradient);
    rule_->update_by_gradient(norm_);
    result.gradient_norm = std::sqrt(download<double>(norm_)[0]);
    if (!planning() && !std::isfinite(result.gradient_norm))
      throw Error("architecture step: the gradient of alpha is not finite");
  }

  std::unique_ptr<GumbelLaw> law_;
  std::unique_ptr<AlphaRule> rule_;
  Ranking ranking_;
  Tensor norm_;
  PassSetting evaluation_ = passes::evaluation.running(OperationsRun::weighted);
  std::int64_t alpha_batches_ = 0;
};

}  // namespace

const MethodInfo parsec_method{.name = "parsec",
                               .summary = "cells weighed by likelihood, a reimplementation",
                               .draws_from_dirichlet = false,
                               .make = [](const MethodOptions& o) -> std::unique_ptr<SearchMethod> {
                                 return std::make_unique<Parsec>(o);
                               }};

}  // namespace drnas
