// SPDX-License-Identifier: MIT
// DARTS, second order (Liu et al., ICLR 2019, equations 6 to 8): alpha learns from the validation
// loss at the weights after one step of SGD, the derivative of that step by central differences.
#include <algorithm>
#include <cmath>

#include "engine/memory/planning.h"
#include "engine/stream.h"
#include "nas/method/bilevel.h"
#include "nas/method/methods.h"
#include "nas/step/weight_shift.h"

namespace drnas {

namespace {

/// The published step of the differences, over the norm of the validation gradient.
constexpr double difference = 0.01;

// The passes at the network's own weights move running statistics as they do in the published code;
// the one ahead does not, as the network copied there is thrown away.
constexpr PassSetting training_gradient{.name = "gradient of the training loss",
                                        .weight_gradients = true};
constexpr PassSetting validation_ahead{.name = "validation one step ahead",
                                       .norm = PassNorm::batch_only,
                                       .weight_gradients = true,
                                       .theta_gradient = true};
constexpr PassSetting shifted{.name = "training at shifted weights", .theta_gradient = true};

class SecondOrderStep {
 public:
  SecondOrderStep(AlphaRule& rule, const Alpha& alpha) : rule_(rule), dtheta_(alpha.make_table()) {
    norm_ = Tensor::zeros({1, 1, 1, 1}, MemoryTag::optimizer, dtheta_.device(), DType::f64);
  }

  StepResult operator()(const MethodStep& s) const {
    SupernetTrainer& trainer = s.trainer;
    const ParameterStore& store = trainer.supernet().parameters();
    const double rate = trainer.learning_rate();
    const Stopwatch watch;
    trainer.run(training_gradient, s.weight_batches.next());
    WeightShift weights(store);
    weights.look_ahead(rate, trainer.weight_rule());
    StepResult result = trainer.run(validation_ahead, s.alpha_batches.next());
    std::vector<double> dtheta = download<double>(trainer.theta_gradient());
    // Where the gradient vanishes, so does what the differences are of.
    const double radius = difference / std::max(gradient_norm(store), 1e-12);
    const DeviceBatch& batch = s.weight_batches.again();
    for (const double sign : {1.0, -1.0}) {
      weights.along_gradient(sign * radius);
      trainer.run(shifted, batch);
      const std::vector<double> side = download<double>(trainer.theta_gradient());
      for (std::size_t i = 0; i < dtheta.size(); ++i)
        dtheta[i] -= rate * sign * side[i] / (2 * radius);
    }
    weights.put_back();
    const std::vector<double>& cost = trainer.theta_cost();
    for (std::size_t i = 0; i < cost.size(); ++i) dtheta[i] += cost[i];
    upload<double>(dtheta, dtheta_);
    rule_.update(dtheta_, norm_);
    result.gradient_norm = std::sqrt(download<double>(norm_)[0]);
    result.total_ms = 1e3 * watch.seconds();
    result.forward_ms = result.backward_ms = result.optimizer_ms = 0;
    if (!planning() && !(std::isfinite(result.loss) && std::isfinite(result.gradient_norm)))
      throw Error("architecture step: the gradient of alpha is not finite");
    return result;
  }

 private:
  AlphaRule& rule_;
  Tensor dtheta_, norm_;
};

}  // namespace

const MethodInfo darts_second_order_method{
    .name = "darts-2nd",
    .summary = "DARTS, second order",
    .draws_from_dirichlet = false,
    .make = [](const MethodOptions& o) {
      BilevelParts parts;
      parts.law = make_softmax_law({o.edges, o.ops, o.seed, o.device});
      parts.rule = make_adam_rule(*parts.law, o.adam);
      parts.alpha_step = SecondOrderStep(*parts.rule, parts.law->alpha());
      parts.alpha_step_takes_weight_batch = true;
      return make_bilevel(std::move(parts), o);
    }};

}  // namespace drnas
