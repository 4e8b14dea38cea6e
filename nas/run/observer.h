// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>

namespace drnas {

/// Where a run begins, or goes on.
struct RunStart {
  std::int64_t epoch = 0, step = 0;  ///< whole epochs, and steps of the next one, that are done
  std::int64_t steps = 0;            ///< of an epoch
};

/// Where a run stands; sent after every step.
struct StepProgress {
  int epoch = 0, epochs = 0;         ///< counted from 1; of the whole run
  std::int64_t step = 0, steps = 0;  ///< finished steps of this phase; in all
  std::string phase;                 ///< "search", "training", "evaluation", ...
  double images_per_second = 0, steps_per_second = 0;
  /// Of the step's training batch; NaN in phases that train nothing.
  double loss = std::numeric_limits<double>::quiet_NaN();
  double seconds_left = 0;  ///< of the whole run; negative: not known yet
};

/// Receives what a run has to say, on the thread that runs it.
class ProgressObserver {
 public:
  virtual ~ProgressObserver() = default;
  virtual void on_start(const RunStart& /*start*/) {}
  virtual void on_message(const std::string& /*line*/) {}
  virtual void on_step(const StepProgress& /*progress*/) {}
};

/// The same, and what each epoch gave.
template <class Record>
class RunObserver : public ProgressObserver {
 public:
  using Epoch = Record;
  virtual void on_epoch(const Record& /*record*/) {}
};

/// What an epoch of every kind of run logs.
struct EpochBasics {
  int epoch = 0;   ///< counted from 1
  int epochs = 0;  ///< of the whole run (not logged)
  double learning_rate = 0;
  double train_loss = 0, train_top1 = 0;  ///< mean cross entropy of the main head; hits in percent
  double images_per_second = 0;           ///< training images; 0: no step was timed
  std::int64_t peak_bytes = 0;            ///< of the run so far, see Allocator
  std::map<std::string, std::int64_t> peak_bytes_by_tag;  ///< at the moment of the total's peak
  std::int64_t pinned_bytes = 0;  ///< of the host's memory that the device reads images from
};

}  // namespace drnas
