// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "nas/diagnostics/hessian.h"
#include "nas/diagnostics/trajectory.h"
#include "nas/run/run_events.h"
#include "nas/space/nb201/nb201_table.h"

namespace drnas {

/// Milliseconds of a step's phases, mean of an epoch; zero where steps are replayed as one graph.
struct PhaseMeans {
  double forward = 0, backward = 0, optimizer = 0;
};

/// What one epoch of a search gave: one line of log.jsonl.
struct EpochRecord {
  int epoch = 0;   ///< counted from 1
  int epochs = 0;  ///< of the whole run (not logged)
  int stage = 1;   ///< counted from 1
  double learning_rate = 0;
  double train_loss = 0, train_top1 = 0;  ///< mean cross entropy; share of hits in percent
  double val_loss = 0, val_top1 = 0;      ///< the same on the second half
  std::string genotype;
  std::vector<std::vector<double>> concentrations;      ///< [edges][ops]
  std::vector<std::vector<bool>> kept;                  ///< [edges][ops]; empty: none is pruned
  double architecture_step_ms = 0, weight_step_ms = 0;  ///< mean of the epoch
  PhaseMeans architecture_phases, weight_phases;
  double images_per_second = 0;                           ///< training images of both halves
  std::int64_t peak_bytes = 0;                            ///< of the run so far, see Allocator
  std::map<std::string, std::int64_t> peak_bytes_by_tag;  ///< at the moment of the total's peak
  std::int64_t pinned_bytes = 0;  ///< of the host's memory that the device reads images from
  std::optional<TableAccuracy> table;
  std::map<std::string, double> seconds;  ///< of train, evaluation, and where done of trajectory
                                          ///< and hessian; of this process
  std::optional<TrajectoryRecord> trajectory;
  std::optional<HessianRecord> hessian;
  std::vector<std::string> warnings;  ///< raised in this epoch
  std::string stopped_on;             ///< the alarm that ended the search here (--stop-on)
  int good_epoch = 0;                 ///< then the epoch whose cell is the result
};

using SearchObserver = RunObserver<EpochRecord>;

/// How a search ended.
struct SearchResult {
  std::string genotype;
  std::optional<TableAccuracy> table;
  int epochs_done = 0;
  std::string stopped_on;         ///< alarm of --stop-on that ended it, or empty
  int genotype_epoch = 0;         ///< the epoch whose mean gave the genotype
  int interrupted_by_signal = 0;  ///< SIGINT or SIGTERM; 0: the search came to its end
  std::filesystem::path out;
  double seconds = 0;  ///< of this process
};

}  // namespace drnas
