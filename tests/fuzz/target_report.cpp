// SPDX-License-Identifier: MIT
// A search's folder as drnas_report reads it, up to the data of the page.
#include "tests/fuzz/run_files.h"
#include "tools/report/report_data.h"

using namespace drnas;
using namespace drnas::fuzz;

namespace {

bool read(Input input) {
  static const Folder folder;
  write_run_files(folder, input);
  return accepts([&] {
    std::vector<std::string> notes;
    const auto runs = tools::read_runs({folder.path()}, notes);
    require(runs.size() == 1 && !runs[0].epochs.empty(), "a run without epochs");
    for (const std::string& note : notes)
      require(note.find('\n') == note.npos, "a note of several lines");
    const std::string data = tools::report_json({"title", "program", "now"}, runs);
    require(data.find('<') == data.npos, "a '<' that could end the page's data");
    require(nlohmann::json::accept(data), "data that are no JSON");
  });
}

}  // namespace

DRNAS_FUZZ_TARGET(report, read, change_run_files)
