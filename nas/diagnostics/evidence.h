// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/batch_source.h"
#include "nas/diagnostics/early_warning.h"
#include "nas/diagnostics/hessian.h"
#include "nas/diagnostics/trajectory.h"
#include "nas/step/supernet_trainer.h"

namespace drnas {

/// What a search is asked to record about itself.
struct EvidenceOptions {
  int trajectory = 0;  ///< cells sampled each epoch; 0: none
  HessianOptions hessian;
  std::vector<Alarm> stop_on;
};

/// What an epoch gave.
struct EvidenceRecord {
  std::optional<TrajectoryRecord> trajectory;
  std::optional<HessianRecord> hessian;
  double trajectory_seconds = 0, hessian_seconds = 0;
  std::vector<std::string> warnings;
};

/// What early warnings say of an epoch.
struct Verdict {
  std::vector<std::string> warnings;
  std::optional<Warning> ending;  ///< the one that --stop-on acts on
};

/// What a search records about itself at an epoch's end beside losses and memory: sampled cells
/// (--trajectory), the Hessian (--hessian), early warnings (--stop-on). It changes nothing of the
/// search: weights, statistics, alpha and the search's own draws are the same without it.
class Evidence {
 public:
  /// Called between the passes of a Hessian; false ends it.
  using Tick = std::function<bool(std::int64_t done, std::int64_t passes)>;

  /// none: `none` is a candidate operation; table: null without one, else it outlives this.
  Evidence(EvidenceOptions options, const SearchSpace& space, bool none,
           const AccuracyTable* table);

  /// The epochs that a resumed search has done, whose warnings have been given. Returns the warning
  /// that has ended the search, where the last of them did.
  std::optional<Warning> recall(const std::vector<EpochSigns>& epochs);
  /// Trajectory and Hessian of an epoch (counted from 0); `chosen` is what the search would answer
  /// now. False when `tick` ended it. Leaves `evaluation` at some other position.
  bool measure(std::int64_t epoch, SupernetTrainer& trainer, Law& law, const Architecture& chosen,
               BatchSource& evaluation, const Tick& tick, EvidenceRecord& record);
  Verdict judge(const EpochSigns& signs);

 private:
  std::optional<HessianRecord> take_hessian(std::int64_t epoch, SupernetTrainer& trainer, Law& law,
                                            const DeviceBatch& batch, const Tick& tick) const;

  EvidenceOptions options_;
  const SearchSpace& space_;
  bool none_;
  const AccuracyTable* table_;
  EarlyWarnings warnings_;
};

}  // namespace drnas
