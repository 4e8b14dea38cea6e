// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

namespace drnas {

/// Where a run stands; sent after every step.
struct StepProgress {
  int epoch = 0, epochs = 0;         ///< counted from 1; of the whole run
  std::int64_t step = 0, steps = 0;  ///< finished steps of this phase; in all
  std::string phase;                 ///< "search", "training", "evaluation", ...
  double images_per_second = 0, steps_per_second = 0;
  double seconds_left = 0;  ///< of the whole run; negative: not known yet
};

/// Receives what a run has to say, on the thread that runs it.
template <class Record>
class RunObserver {
 public:
  using Epoch = Record;
  virtual ~RunObserver() = default;
  virtual void on_message(const std::string& /*line*/) {}
  virtual void on_step(const StepProgress& /*progress*/) {}
  virtual void on_epoch(const Record& /*record*/) {}
};

}  // namespace drnas
