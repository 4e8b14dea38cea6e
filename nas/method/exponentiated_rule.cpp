// SPDX-License-Identifier: MIT
#include "engine/stream.h"
#include "kernels/alpha/mixing.h"
#include "nas/method/alpha_rule.h"

namespace drnas {
namespace {

class ExponentiatedRule final : public AlphaRule {
 public:
  ExponentiatedRule(Law& law, double learning_rate, double floor)
      : law_(law),
        learning_rate_(learning_rate),
        floor_(floor),
        sets_(upload_sets(law.simplex_sets(), law.alpha().device())) {}

  void update(const Tensor& dtheta, const Tensor& squared_norm) override {
    law_.backward(dtheta);
    update_by_gradient(squared_norm);
  }
  void update_by_gradient(const Tensor& squared_norm) override {
    const Alpha& alpha = law_.alpha();
    const kernels::ExponentiatedStep step{entry_sets(sets_),
                                          static_cast<int>(alpha.values.elements()),
                                          alpha.gradient.data<double>(),
                                          alpha.values.data<double>(),
                                          squared_norm.data<double>(),
                                          learning_rate_,
                                          floor_};
    dispatch(alpha.device(), [&]<Device D>() {
      execute([&] { kernels::exponentiated_step<D>(step, compute_stream(D)); });
    });
  }
  void prune(const std::vector<std::uint8_t>&) override {
    throw Error("method: weights on the simplex cannot be pruned, expected one stage");
  }
  void archive(StateArchive&) override {}

 private:
  Law& law_;
  double learning_rate_, floor_;
  Tensor sets_;
};

}  // namespace

std::unique_ptr<AlphaRule> make_exponentiated_rule(Law& law, double learning_rate, double floor) {
  return std::make_unique<ExponentiatedRule>(law, learning_rate, floor);
}

}  // namespace drnas
