// SPDX-License-Identifier: MIT
#include "nas/method/bilevel.h"

namespace drnas {
namespace {

class Bilevel final : public SearchMethod {
 public:
  Bilevel(BilevelParts parts, const MethodOptions& options)
      : parts_(std::move(parts)),
        ranking_(options.ranking),
        max_skips_(options.max_skips),
        weights_first_(options.weights_first) {
    parts_.evaluation.norm = options.evaluation_norm;
  }

  Law& law() override { return *parts_.law; }
  AlphaUpdate& alpha_update() override { return *parts_.rule; }
  PassSetting evaluation() const override { return parts_.evaluation; }
  void begin_epoch(std::int64_t epoch) override {
    if (parts_.begin_epoch) parts_.begin_epoch(epoch);
  }

  MethodResult step(const MethodStep& s) override {
    if (parts_.one_batch) {
      const PassSetting& pass = s.alpha_learns ? parts_.joint : parts_.weights;
      return {s.trainer.run(pass, s.weight_batches.next()), {}};
    }
    MethodResult result;
    if (weights_first_ && !weights_done_) {
      run_weights(s, s.weight_batches.next());
      weights_done_ = 1;
    }
    bool taken = false;
    // Already done where a run stopped between the two halves of a step.
    const std::int64_t every = parts_.alpha_every, before = s.alpha_steps_before;
    if (s.alpha_learns && before % every == 0 && alpha_steps_ <= before / every) {
      result.alpha = parts_.alpha_step ? parts_.alpha_step(s)
                                       : s.trainer.run(parts_.architecture, s.alpha_batches.next());
      ++alpha_steps_;
      taken = parts_.alpha_step_takes_weight_batch;
    }
    if (!weights_first_) run_weights(s, taken ? s.weight_batches.again() : s.weight_batches.next());
    weights_done_ = 0;
    result.weights = weights_;
    return result;
  }
  std::int64_t alpha_batches_used() const override { return alpha_steps_; }

  Architecture choose(const SearchSpace& space, bool none) const override {
    const EdgeWeights weights = parts_.law->ranked_by(ranking_);
    return max_skips_ ? space.derive_with_skips(weights, none, *max_skips_)
                      : space.derive(weights, none);
  }
  std::vector<std::uint8_t> choose_kept(int keep) const override {
    const Alpha& alpha = parts_.law->alpha();
    return keep_largest(alpha.rows(alpha.values), alpha.kept_entries(), keep);
  }
  void prune(const std::vector<std::uint8_t>& kept) override {
    parts_.law->alpha().prune(kept);
    parts_.rule->prune(kept);
  }
  void restart(std::uint64_t seed) override {
    if (!parts_.start) return SearchMethod::restart(seed);
    BilevelParts::Start start = parts_.start(seed);
    parts_.rule = std::move(start.second);
    parts_.law = std::move(start.first);
  }

  void archive(StateArchive& a) override {
    a.table("alpha", parts_.law->alpha().values);
    a.value("alpha.steps", alpha_steps_);
    if (weights_first_) a.value("progress.weights_done", weights_done_);
    parts_.rule->archive(a);
  }

 private:
  void run_weights(const MethodStep& s, const DeviceBatch& batch) {
    if (parts_.before_weights) parts_.before_weights(s.trainer, batch);
    weights_ = s.trainer.run(parts_.weights, batch);
  }

  BilevelParts parts_;
  Ranking ranking_;
  std::optional<int> max_skips_;
  bool weights_first_;
  std::int64_t alpha_steps_ = 0;   // done since the start
  std::int64_t weights_done_ = 0;  // the weights' half of this step, where it comes first
  StepResult weights_;
};

}  // namespace

std::unique_ptr<SearchMethod> make_bilevel(BilevelParts parts, const MethodOptions& options) {
  return std::make_unique<Bilevel>(std::move(parts), options);
}

std::unique_ptr<SearchMethod> make_bilevel(std::unique_ptr<Law> law, const MethodOptions& options) {
  std::unique_ptr<AlphaRule> rule = make_adam_rule(*law, options.adam);
  return make_bilevel({.law = std::move(law), .rule = std::move(rule)}, options);
}

}  // namespace drnas
