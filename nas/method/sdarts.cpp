// SPDX-License-Identifier: MIT
// SDARTS (Chen and Hsieh, ICML 2020): DARTS whose weights learn at perturbed mixing weights, random
// ones (RS) or those that raise the training loss most (ADV).
#include "engine/stream.h"
#include "kernels/alpha/mixing.h"
#include "nas/method/bilevel.h"
#include "nas/method/methods.h"

namespace drnas {

namespace {

/// softmax(alpha) plus noise within a radius, clipped to [0, 1], each row divided by its sum. What
/// is left of the noise then is where an ascent goes on, as published.
class PerturbedTheta final : public ThetaSource {
 public:
  PerturbedTheta(Law& law, std::uint64_t seed, bool fresh_noise)
      : law_(law), seed_(seed), fresh_noise_(fresh_noise) {
    for (Tensor* t : {&delta_, &theta_}) *t = law.alpha().make_table();
    radius_ = Tensor::zeros({1, 1, 1, 1}, MemoryTag::optimizer, law.alpha().device(), DType::f64);
  }

  void set_radius(double radius) { upload_scalar(radius, radius_); }

  const Tensor& draw(const std::uint32_t* step) override {
    if (fresh_noise_) noise(step);
    const Tensor& p = law_.draw(step);
    const Alpha& alpha = law_.alpha();
    dispatch(theta_.device(), [&]<Device D>() {
      execute([&] {
        kernels::perturb_rows<D>(alpha.edges, alpha.ops, p.data<double>(), delta_.data<double>(),
                                 theta_.data<double>(), compute_stream(D));
      });
    });
    return theta_;
  }
  /// The mixing weights are what the published norm that clips counts here, not alpha.
  void backward(const Tensor& dtheta) override { copy(dtheta, law_.alpha().gradient); }
  const Tensor& alpha_gradient() const override { return law_.alpha_gradient(); }

  /// Fresh noise of draw *step.
  void noise(const std::uint32_t* step) {
    const int entries = static_cast<int>(delta_.elements());
    dispatch(delta_.device(), [&]<Device D>() {
      execute([&] {
        kernels::uniform_noise<D>(entries, seed_, step, radius_.data<double>(),
                                  delta_.data<double>(), compute_stream(D));
      });
    });
  }
  /// A step of `share` radii along the sign of the gradient.
  void ascend(const Tensor& dtheta, double share) {
    const int entries = static_cast<int>(delta_.elements());
    dispatch(delta_.device(), [&]<Device D>() {
      execute([&] {
        kernels::ascend_sign<D>(entries, dtheta.data<double>(), share, radius_.data<double>(),
                                delta_.data<double>(), compute_stream(D));
      });
    });
  }
  void clear() { delta_.clear(); }

 private:
  Law& law_;
  std::uint64_t seed_;
  bool fresh_noise_;
  Tensor delta_, theta_, radius_;
};

/// Steps of the ascent, each of 2 / steps radii, as published.
constexpr int ascent_steps = 7;

/// Finds the perturbation that raises the loss, by the network's running statistics; none where the
/// loss did not rise.
void attack(PerturbedTheta& theta, SupernetTrainer& trainer, const DeviceBatch& batch) {
  const PassSetting look{
      .name = "loss at perturbed weights", .norm = PassNorm::running, .source = &theta},
      climb{.name = "ascent of the perturbation",
            .norm = PassNorm::running,
            .theta_gradient = true,
            .source = &theta};
  theta.clear();
  const double before = trainer.run(look, batch).loss;
  theta.noise(trainer.draw_counter());
  for (int i = 0; i < ascent_steps; ++i) {
    trainer.run(climb, batch);
    theta.ascend(trainer.theta_gradient(), 2.0 / ascent_steps);
  }
  if (!(trainer.run(look, batch).loss > before)) theta.clear();
}

std::unique_ptr<SearchMethod> make_sdarts(const MethodOptions& o, bool adversarial) {
  BilevelParts parts;
  parts.law = make_softmax_law({o.edges, o.ops, o.seed, o.device});
  parts.rule = make_adam_rule(*parts.law, o.adam);
  auto theta = std::make_unique<PerturbedTheta>(*parts.law, o.seed, !adversarial);
  parts.weights.source = theta.get();
  parts.begin_epoch = [theta = theta.get(), o](std::int64_t epoch) {
    theta->set_radius(o.scheduled(epoch));
  };
  if (adversarial)
    parts.before_weights = [theta = theta.get()](SupernetTrainer& trainer,
                                                 const DeviceBatch& batch) {
      attack(*theta, trainer, batch);
    };
  parts.of_weights = std::move(theta);
  return make_bilevel(std::move(parts), o);
}

}  // namespace

const MethodInfo sdarts_rs_method{
    .name = "sdarts-rs",
    .summary = "DARTS under random perturbations",
    .draws_from_dirichlet = false,
    .stages = false,
    .schedule = MethodSchedule::radius,
    .make = [](const MethodOptions& o) { return make_sdarts(o, false); }};

const MethodInfo sdarts_adv_method{
    .name = "sdarts-adv",
    .summary = "DARTS under adversarial ones",
    .draws_from_dirichlet = false,
    .stages = false,
    .schedule = MethodSchedule::radius,
    .make = [](const MethodOptions& o) { return make_sdarts(o, true); }};

}  // namespace drnas
