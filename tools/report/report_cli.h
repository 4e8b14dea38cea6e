// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <iosfwd>
#include <string>
#include <vector>

namespace drnas::tools {

/// What the command line of drnas_report asks for.
struct ReportCommandLine {
  std::vector<std::filesystem::path> runs;
  std::filesystem::path out;  ///< filled in: report.html in the only folder, else here
  std::string title;          ///< empty: one that the runs suggest
  bool dot = false;           ///< cells as Graphviz files beside the page
  bool svg = false;           ///< cells as pictures beside the page
  bool answered = false;      ///< --help or --version was printed: nothing else to do
};

/// Throws Error naming the option: unknown, without a value, no run.
ReportCommandLine parse_report_command_line(std::vector<std::string> arguments,
                                            std::ostream& output);

/// Reads the runs, writes the page (and files of the cells) and says so on `output`, what was left
/// out on `notes`. The page replaces an older one as a whole or not at all. Throws Error as
/// read_runs() does, and naming the file that cannot be written.
void write_report(const ReportCommandLine& line, std::ostream& output, std::ostream& notes);

}  // namespace drnas::tools
