// SPDX-License-Identifier: MIT
// What a report's page is made from.
#pragma once

#include <string>
#include <vector>

#include "tools/report/report_runs.h"

namespace drnas::tools {

/// How a run is called among others.
struct RunLabel {
  std::string name;   ///< path below the folder that all runs share; unique
  std::string group;  ///< that of all runs that differ only in the seed; unique
};

/// Names of the options that differ among the runs, in the order of the option table. Left out: the
/// seed, threads, the preset (its options stand for themselves), where a run lies, and what decides
/// no more than what is recorded or shown.
std::vector<std::string> differing_options(const std::vector<RecordedRun>& runs);
std::vector<RunLabel> label_runs(const std::vector<RecordedRun>& runs);

struct ReportHeader {
  std::string title, program, created;
};
/// The page's data as JSON without any `<`, fit for a <script> element: title, program, created and
/// runs, each with
///   name, group, seed, space, genotype
///   config       [[option, value], ...] as config.toml says, in its order
///   differs      differing_options()
///   command      how to repeat the run
///   machine      run.json as it is, or null
///   budget_bytes --memory-limit, or null
///   cells        [{name, ops, edges: labels of its rows, first_row: in `concentrations`, svg,
///   dot}] epochs       the objects of log.jsonl as they are
std::string report_json(const ReportHeader& header, const std::vector<RecordedRun>& runs);

}  // namespace drnas::tools
