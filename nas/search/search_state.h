// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "nas/search/stages.h"
#include "nas/step/step_result.h"
#include "nas/step/trainer.h"

namespace drnas {

/// Where a search stands, besides its tensors: with them everything that a resumed run needs to go
/// on bit by bit.
struct SearchProgress {
  std::int64_t epoch = 0;               ///< current epoch
  std::int64_t step = 0;                ///< weight steps done in it
  std::int64_t stage = 1;               ///< of progressive learning, whose network is stored
  std::int64_t architecture_steps = 0;  ///< done since the start
  std::uint32_t draws = 0;              ///< mixing weights drawn since the start
  EpochTotals train;                    ///< of the current epoch
  MemoryPeak memory;                    ///< of the stage, so far
};

/// Everything of a run in one safetensors file, written atomically: weights, momentum, running
/// statistics, alpha, Adam's moments and step, progress (loader positions and random counters
/// follow from it), and the configuration it belongs to.
void save_search(const std::filesystem::path& path, const std::string& configuration,
                 const SearchProgress& progress, const Supernet& supernet,
                 const MixingDistribution& distribution);
/// What decides the shape of the stored network.
struct StoredStage {
  std::int64_t stage = 1;
  std::vector<std::uint8_t> kept;  ///< see SupernetOptions; empty: all
};
/// Throws Error naming the file when it is missing, cut short, belongs to another configuration, or
/// names a stage and an epoch that do not go together (`stages`: of the configuration).
StoredStage stored_stage(const std::filesystem::path& path, const std::vector<Stage>& stages);
/// Throws Error naming the file when it is missing, cut short, or belongs to another configuration.
SearchProgress load_search(const std::filesystem::path& path, const std::string& configuration,
                           const Supernet& supernet, MixingDistribution& distribution);

}  // namespace drnas
