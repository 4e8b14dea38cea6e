// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "data/batch_source.h"
#include "nas/diagnostics/early_warning.h"
#include "nas/options/search_options.h"
#include "nas/search/search_events.h"
#include "nas/step/trainer.h"

namespace drnas {

/// What a search records about itself at an epoch's end beside losses and memory: sampled cells
/// (--trajectory), the Hessian (--hessian), early warnings (--stop-on). It changes nothing of the
/// search: weights, statistics, alpha and the search's own draws are the same without it.
class Evidence {
 public:
  /// Called between the passes of a Hessian; false ends it.
  using Tick = std::function<bool(std::int64_t done, std::int64_t passes)>;

  /// table: null without one.
  Evidence(const SearchOptions& options, const SearchSpace& space, const Nb201Table* table);

  /// The epochs that a resumed search has behind it, whose warnings have been given.
  void recall(const std::filesystem::path& log);
  /// Enters trajectory and Hessian of an epoch (counted from 0) and how long they took. False when
  /// `tick` ended it. Leaves `evaluation` at some other position.
  bool measure(std::int64_t epoch, Trainer& trainer, MixingDistribution& distribution,
               BatchSource& evaluation, const Tick& tick, EpochRecord& record);
  /// Enters the warnings of a complete record; the one that --stop-on acts on, if any.
  std::optional<Warning> judge(EpochRecord& record);

 private:
  std::optional<HessianRecord> take_hessian(std::int64_t epoch, Trainer& trainer,
                                            MixingDistribution& distribution,
                                            const DeviceBatch& batch, const Tick& tick) const;

  const SearchSpace& space_;
  bool none_, dirichlet_;
  Ranking ranking_;
  const Nb201Table* table_;
  int trajectory_;
  HessianOptions hessian_;
  std::vector<Alarm> stop_on_;
  EarlyWarnings warnings_;
};

/// What the lines of a log show of early warnings. Throws Error naming file and line for one that
/// is no epoch of a search.
std::vector<EpochSigns> logged_signs(const std::filesystem::path& log, const SearchSpace& space);

}  // namespace drnas
