// SPDX-License-Identifier: MIT
#include "engine/stream.h"
#include "nas/method/alpha_rule.h"

namespace drnas {
namespace {

class AdamRule final : public AlphaRule {
 public:
  AdamRule(Law& law, const AdamOptions& options) : law_(law), options_(options) {
    for (Tensor* t : {&first_moment_, &second_moment_}) *t = law.alpha().make_table();
    steps_ = Tensor::zeros({1, 1, 1, 1}, MemoryTag::optimizer, law.alpha().device(), DType::i64);
  }

  void update(const Tensor& dtheta, const Tensor& squared_norm) override {
    kernels::AlphaStep step = start();
    law_.enter_gradient(dtheta, step);
    finish(step, squared_norm);
  }
  void update_by_gradient(const Tensor& squared_norm) override {
    kernels::AlphaStep step = start();
    finish(step, squared_norm);
  }

  void prune(const std::vector<std::uint8_t>& kept) override {
    for (const Tensor* moments : {&first_moment_, &second_moment_}) zero_pruned(kept, *moments);
  }

  void archive(StateArchive& a) override {
    a.table("adam.first_moment", first_moment_);
    a.table("adam.second_moment", second_moment_);
    a.table("adam.steps", steps_);
  }

 private:
  kernels::AlphaStep start() const {
    const Alpha& alpha = law_.alpha();
    kernels::AlphaStep step{};
    step.edges = alpha.edges;
    step.ops = alpha.ops;
    step.kept = alpha.kept_data();
    return step;
  }
  void finish(kernels::AlphaStep& step, const Tensor& squared_norm) const {
    const Alpha& alpha = law_.alpha();
    step.kl = options_.kl;
    step.gradient = alpha.gradient.data<double>();
    step.squared_norm = squared_norm.data<double>();
    step.rule = {options_.learning_rate, options_.beta1, options_.beta2,
                 options_.eps,           options_.l2,    options_.grad_clip};
    step.steps = steps_.data<std::int64_t>();
    step.alpha = alpha.values.data<double>();
    step.first_moment = first_moment_.data<double>();
    step.second_moment = second_moment_.data<double>();
    dispatch(alpha.device(), [&]<Device D>() {
      execute([&] { kernels::alpha_step<D>(step, compute_stream(D)); });
    });
  }

  Law& law_;
  AdamOptions options_;
  Tensor first_moment_, second_moment_;  // of alpha's shape, float64
  Tensor steps_;                         // [1] int64: steps done
};

}  // namespace

std::unique_ptr<AlphaRule> make_adam_rule(Law& law, const AdamOptions& options) {
  if (options.kl != 0 && !law.is_dirichlet())
    throw Error(
        "--regulariser kl: expected l2 or none, but for methods that draw from a Dirichlet");
  return std::make_unique<AdamRule>(law, options);
}

}  // namespace drnas
