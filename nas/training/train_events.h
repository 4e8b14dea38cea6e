// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "nas/run/event_file.h"
#include "nas/run/observer.h"
#include "nas/step/step_result.h"

namespace drnas {

/// What one epoch of a training gave: one line of log.jsonl.
struct TrainEpoch : EpochBasics {
  double drop_path = 0;
  double test_loss = 0, test_top1 = 0, test_top5 = 0;  ///< as train_loss and train_top1
  double step_ms = 0;                                  ///< mean of the epoch
};
/// One line of log.jsonl, without the line end.
std::string to_json(const TrainEpoch& record);

/// Its figures for TensorBoard, see EventObserver.
void summarize(const TrainEpoch& record, EventSummary& summary);

using TrainObserver = RunObserver<TrainEpoch>;

/// Loss and hits on the test set.
struct TestResult {
  double loss = 0, top1 = 0, top5 = 0;  ///< mean cross entropy; percent
  std::int64_t images = 0;
};

TestResult test_result(const EpochTotals& totals);

/// How a training ended.
struct TrainResult {
  TestResult test;  ///< of the last epoch that ended
  double best_top1 = 0;
  int epochs_done = 0;
  int interrupted_by_signal = 0;  ///< SIGINT or SIGTERM; 0: the training came to its end
  std::filesystem::path out;
  double seconds = 0;  ///< of this process
};

}  // namespace drnas
