// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "nas/space/derived_network.h"
#include "nas/step/step_result.h"
#include "nas/training/train_events.h"

namespace drnas {

/// Where a training stands, besides its tensors: with them everything that a resumed run needs to
/// go on bit by bit.
struct TrainProgress {
  std::int64_t epoch = 0;   ///< current epoch
  std::int64_t step = 0;    ///< steps done in it
  std::uint32_t steps = 0;  ///< done since the start
  EpochTotals train;        ///< of the current epoch
  TestResult test;          ///< of the last epoch that ended
  double best_top1 = 0;
  MemoryPeak memory;  ///< of the run so far
};

/// Everything of a run in one safetensors file, written atomically: weights, momentum, running
/// statistics, progress (loader positions and random counters follow from it), and the
/// configuration it belongs to.
void save_training(const std::filesystem::path& path, const std::string& configuration,
                   const TrainProgress& progress, DerivedNetwork& network);
/// Throws Error naming the file when it is missing, cut short, or belongs to another configuration.
TrainProgress load_training(const std::filesystem::path& path, const std::string& configuration,
                            DerivedNetwork& network);

/// Weights and running statistics alone, for PyTorch: see export_weights().
void save_weights(const std::filesystem::path& path, const std::string& configuration,
                  DerivedNetwork& network);

/// The configuration that is stored in a file of either kind. Throws Error naming the file when it
/// is missing or of another kind.
std::string stored_configuration(const std::filesystem::path& path);
/// Weights and running statistics from a file of either kind.
void load_network(const std::filesystem::path& path, DerivedNetwork& network);

}  // namespace drnas
