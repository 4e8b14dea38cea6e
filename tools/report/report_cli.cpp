// SPDX-License-Identifier: MIT
#include "tools/report/report_cli.h"

#include <algorithm>
#include <ostream>

#include "engine/files.h"
#include "nas/run/machine.h"
#include "nas/search/search_inputs.h"
#include "nas/space/search_space.h"
#include "tools/cli/command_line.h"
#include "tools/drawing/cell_drawing.h"
#include "tools/report/report_data.h"
#include "tools/report/report_page.h"

namespace drnas::tools {
namespace {

namespace fs = std::filesystem;

constexpr const char* description =
    "drnas_report: makes a page from the folders of searches: curves, concentrations, the found "
    "cell, memory, time.";

constexpr const char* examples = R"(
RUN is the folder of a search (--out of drnas_search), or one that holds such folders (the seeds of --seeds, a sweep).
Runs that differ only in the seed are shown as one group with mean and spread. The page is one file without references
to anything else: open it in a browser, send it, keep it. A search may still run: the page shows the epochs that have
ended. drnas_report writes the page, and with --svg and --dot its cells; nothing else in a run changes.

Examples:
  one search; writes runs/cifar10/report.html
    drnas_report runs/cifar10
  four seeds as one group
    drnas_search --data cifar-10-batches-bin --seeds 1,2,3,4 --out runs/seeds
    drnas_report runs/seeds
  two searches beside each other, and the cells as pictures
    drnas_report runs/l2 runs/kl --out compare.html --title "l2 or KL" --svg
)";

std::string suggested_title(const std::vector<RecordedRun>& runs) {
  if (runs.size() == 1) return "Search " + label_runs(runs)[0].name;
  return std::to_string(runs.size()) + " searches";
}

/// Only a page is replaced: what stands in a run, or anything else, was not asked to be.
void require_replaceable(const fs::path& page) {
  std::error_code ignored;
  if (!fs::exists(page, ignored) || fs::is_directory(page, ignored)) return;
  if (!read_text_file(page).starts_with("<!DOCTYPE html>"))
    throw Error("--out " + page.string() + " exists and is no page, expected another file");
}

/// A name that can be part of a file's: a/b becomes a-b.
std::string file_part(std::string name) {
  std::replace(name.begin(), name.end(), '/', '-');
  return name;
}

/// One file a cell beside the page: PAGE[-RUN]-CELL.EXTENSION.
void write_cells(const std::vector<RecordedRun>& runs, const fs::path& page,
                 const std::string& extension, std::string (*draw)(const CellGraph&),
                 std::ostream& output) {
  const std::vector<RunLabel> labels = label_runs(runs);
  for (std::size_t r = 0; r < runs.size(); ++r) {
    for (const CellGraph& graph :
         search_space(runs[r].options.space).cell_graphs(runs[r].genotype)) {
      const std::string run = runs.size() == 1 ? "" : file_part(labels[r].name) + "-";
      const fs::path file =
          page.parent_path() / (page.stem().string() + "-" + run + graph.name + extension);
      write_file_atomically(file, draw(graph));
      output << "wrote " << file.string() << "\n";
    }
  }
}

}  // namespace

ReportCommandLine parse_report_command_line(std::vector<std::string> arguments,
                                            std::ostream& output) {
  ReportCommandLine line;
  std::vector<std::string> runs;
  std::string out;
  bool version = false;
  CLI::App app(description, "drnas_report");
  app.footer(examples);
  app.allow_extras();
  app.get_formatter()->column_width(36);
  app.set_help_flag("-h,--help", "print this text");
  app.add_flag("--version", version, "print versions of program and libraries");
  app.add_option("RUN", runs, "folders of searches")->type_name("DIR");
  app.add_option("--out", out,
                 "file to write (default: report.html in RUN, with several in this folder)")
      ->type_name("FILE");
  app.add_option("--title", line.title, "heading of the page")->type_name("TEXT");
  app.add_flag("--dot", line.dot,
               "also write each cell as a .dot file of Graphviz beside the page");
  app.add_flag("--svg", line.svg, "also write each cell as an .svg picture beside the page");
  std::reverse(arguments.begin(), arguments.end());  // the order that CLI11 wants
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::CallForHelp&) {
    output << app.help();
    line.answered = true;
    return line;
  } catch (const CLI::ParseError& error) {
    throw Error(std::string(error.what()) + " (--help explains the options)");
  }
  if (version) {
    output << version_text("drnas_report");
    line.answered = true;
    return line;
  }
  if (const auto unknown = app.remaining(); !unknown.empty())
    fail_unknown(unknown.front(), {"out", "title", "dot", "svg", "help", "version"});
  if (runs.empty()) throw Error("no RUN given, expected the folder of a search (--help explains)");
  line.runs.assign(runs.begin(), runs.end());
  line.out =
      !out.empty() ? fs::path(out) : (runs.size() == 1 ? line.runs[0] : fs::path()) / "report.html";
  return line;
}

void write_report(const ReportCommandLine& line, std::ostream& output, std::ostream& notes) {
  require_replaceable(line.out);
  std::vector<std::string> left_out;
  const std::vector<RecordedRun> runs = read_runs(line.runs, left_out);
  for (const std::string& note : left_out) notes << "note: " << note << "\n";
  const std::string program = std::string("drnas ") + version() + " (" + git_commit() + ")";
  const std::string title = line.title.empty() ? suggested_title(runs) : line.title;
  write_file_atomically(line.out, report_page(report_json({title, program, utc_time()}, runs)));
  output << "wrote " << line.out.string() << ": " << runs.size()
         << (runs.size() == 1 ? " search\n" : " searches\n");
  if (line.dot) write_cells(runs, line.out, ".dot", to_dot, output);
  if (line.svg) write_cells(runs, line.out, ".svg", to_svg_file, output);
}

}  // namespace drnas::tools
