// SPDX-License-Identifier: MIT
// The steps of a bilevel search by name, and methods by name.
#pragma once

#include "nas/method/search_method.h"

namespace drnas::test {

inline std::unique_ptr<SearchMethod> make_method(const std::string& name,
                                                 const MethodOptions& options) {
  return search_method(name).make(options);
}

class Trainer : public SupernetTrainer {
 public:
  Trainer(Supernet& supernet, SearchMethod& method, TrainerOptions options)
      : SupernetTrainer(supernet, method.law(), &method.alpha_update(), options) {}

  StepResult architecture_step(const DeviceBatch& batch) {
    return run(passes::architecture, batch);
  }
  StepResult weight_step(const DeviceBatch& batch, double learning_rate) {
    set_learning_rate(learning_rate);
    return run(passes::weights, batch);
  }
  StepResult evaluate(const DeviceBatch& batch) { return run(passes::evaluation, batch); }
  std::size_t launches(const DeviceBatch& batch, bool weights) const {
    return SupernetTrainer::launches(weights ? passes::weights : passes::architecture, batch);
  }
};

}  // namespace drnas::test
