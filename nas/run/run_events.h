// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <limits>
#include <string>

namespace drnas {

/// Where a run begins, or goes on.
struct RunStart {
  std::int64_t epoch = 0, step = 0;  ///< whole epochs, and steps of the next one, behind it
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
template <class Record>
class RunObserver {
 public:
  using Epoch = Record;
  virtual ~RunObserver() = default;
  virtual void on_start(const RunStart& /*start*/) {}
  virtual void on_message(const std::string& /*line*/) {}
  virtual void on_step(const StepProgress& /*progress*/) {}
  virtual void on_epoch(const Record& /*record*/) {}
};

}  // namespace drnas
