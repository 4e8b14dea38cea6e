// SPDX-License-Identifier: MIT
// Recorded searches, read from their folders.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nas/options/search_options.h"

namespace drnas::tools {

/// One search as its folder holds it, also while it still runs.
struct RecordedRun {
  std::filesystem::path folder;
  std::vector<GivenOption> config;             ///< as in config.toml, in its order
  SearchOptions options;                       ///< the same as options
  std::vector<nlohmann::ordered_json> epochs;  ///< the objects of log.jsonl, at least one
  std::string genotype;                        ///< of genotype.txt, else of the last epoch
  nlohmann::ordered_json machine;              ///< run.json; null where there is none
};

/// Reads the folders; one without a log stands for the runs below it, sorted by name with numbers
/// as numbers (trainings left out). What is left out goes to `notes`, a line each: a log's last
/// line that is cut, a run below a folder whose first epoch has not ended. Throws Error naming
/// folder, file or line: no run there, a training, an unreadable configuration, a broken line, no
/// epoch.
std::vector<RecordedRun> read_runs(const std::vector<std::filesystem::path>& folders,
                                   std::vector<std::string>& notes);

}  // namespace drnas::tools
