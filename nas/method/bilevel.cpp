// SPDX-License-Identifier: MIT
#include "nas/method/bilevel.h"

namespace drnas {
namespace {

class Bilevel final : public SearchMethod {
 public:
  Bilevel(std::unique_ptr<Law> law, const MethodOptions& options)
      : law_(std::move(law)),
        rule_(make_adam_rule(*law_, options.adam)),
        ranking_(options.ranking) {}

  Law& law() override { return *law_; }
  AlphaUpdate& alpha_update() override { return *rule_; }

  MethodResult step(const MethodStep& s) override {
    MethodResult result;
    // Already done where a run stopped between the two halves of a step.
    if (s.alpha_learns && alpha_steps_ <= s.alpha_steps_before) {
      result.alpha = s.trainer.run(passes::architecture, s.alpha_batches.next());
      ++alpha_steps_;
    }
    result.weights = s.trainer.run(passes::weights, s.weight_batches.next());
    return result;
  }
  std::int64_t alpha_batches_used() const override { return alpha_steps_; }

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
    a.value("alpha.steps", alpha_steps_);
    rule_->archive(a);
  }

 private:
  std::unique_ptr<Law> law_;
  std::unique_ptr<AlphaRule> rule_;
  Ranking ranking_;
  std::int64_t alpha_steps_ = 0;  // done since the start
};

}  // namespace

std::unique_ptr<SearchMethod> make_bilevel(std::unique_ptr<Law> law, const MethodOptions& options) {
  return std::make_unique<Bilevel>(std::move(law), options);
}

}  // namespace drnas
