// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <utility>

#include "nas/method/search_method.h"

namespace drnas {

/// What a method is made of whose step is a pass for alpha and a pass for the weights.
struct BilevelParts {
  std::unique_ptr<Law> law;
  std::unique_ptr<AlphaRule> rule;
  PassSetting architecture = passes::architecture, weights = passes::weights,
              evaluation = passes::evaluation;
  /// Alpha and the weights learn from one batch of the weights' half, in the pass `joint`.
  bool one_batch = false;
  PassSetting joint = passes::joint;
  /// In place of the pass `architecture`. Where it has called next() of the weights' batches, the
  /// weights learn from the same batch.
  std::function<StepResult(const MethodStep&)> alpha_step = {};
  bool alpha_step_takes_weight_batch = false;
  /// Before the pass of the weights, with its batch.
  std::function<void(SupernetTrainer&, const DeviceBatch&)> before_weights = {};
  int alpha_every = 1;  ///< steps
  /// Where `architecture` or `weights` names a source of its own.
  std::unique_ptr<ThetaSource> of_alpha = {}, of_weights = {};
  /// Before the first step of an epoch.
  std::function<void(std::int64_t epoch)> begin_epoch = {};
  /// A law and a rule in place of those that there are, for SearchMethod::restart(). The rule holds
  /// the law.
  using Start = std::pair<std::unique_ptr<Law>, std::unique_ptr<AlphaRule>>;
  std::function<Start(std::uint64_t seed)> start = {};
};

/// The bilevel search of DARTS (Liu et al., ICLR 2019, algorithm 1, first order): alpha by its rule
/// on a validation batch, then the weights by SGD on a training batch, or the other way round where
/// the options say so. Every pass draws its own mixing weights. The architecture is read off by the
/// ranking of `options`; pruning keeps the largest alphas.
std::unique_ptr<SearchMethod> make_bilevel(BilevelParts parts, const MethodOptions& options);
/// The same of a law and Adam.
std::unique_ptr<SearchMethod> make_bilevel(std::unique_ptr<Law> law, const MethodOptions& options);

}  // namespace drnas
