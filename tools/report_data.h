// SPDX-License-Identifier: MIT
// What a report's page is made from.
#pragma once

#include <string>
#include <vector>

#include "tools/report_runs.h"

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
/// The page's data as JSON without any `<`, fit for a <script> element: header, and of each
/// run its names, configuration, the command that repeats it, cells with drawings, and the epochs
/// as they were logged.
std::string report_json(const ReportHeader& header, const std::vector<RecordedRun>& runs);

}  // namespace drnas::tools
