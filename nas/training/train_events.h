// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "nas/run/run_events.h"

namespace drnas {

/// What one epoch of a training gave: one line of log.jsonl.
struct TrainEpoch {
  int epoch = 0;   ///< counted from 1
  int epochs = 0;  ///< of the whole run (not logged)
  double learning_rate = 0, drop_path = 0;
  double train_loss = 0, train_top1 = 0;  ///< mean cross entropy of the main head; percent
  double test_loss = 0, test_top1 = 0, test_top5 = 0;
  double step_ms = 0;                                     ///< mean of the epoch
  double images_per_second = 0;                           ///< training images
  std::int64_t peak_bytes = 0;                            ///< of the run so far, see Allocator
  std::map<std::string, std::int64_t> peak_bytes_by_tag;  ///< at the moment of the total's peak
  std::int64_t pinned_bytes = 0;  ///< of the host's memory that the device reads images from
};
/// One line of log.jsonl, without the line end.
std::string to_json(const TrainEpoch& record);

using TrainObserver = RunObserver<TrainEpoch>;

/// Loss and hits on the test set.
struct TestResult {
  double loss = 0, top1 = 0, top5 = 0;  ///< mean cross entropy; percent
  std::int64_t images = 0;
};

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
