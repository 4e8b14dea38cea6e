// SPDX-License-Identifier: MIT
#include "tools/report/report_data.h"

#include <algorithm>
#include <map>

#include "nas/options/option_table.h"
#include "nas/search/search_inputs.h"
#include "nas/space/search_space.h"
#include "tools/cli/text.h"
#include "tools/drawing/cell_drawing.h"
#include "tools/report/repeat_command.h"

namespace drnas::tools {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// Options that tell searches apart: not the seed, what decides no more than what is recorded or
/// shown, nor the preset, whose options stand for themselves.
bool tells_apart(const OptionInfo& info) {
  constexpr std::string_view others[] = {
      "seed",        "seeds",      "preset",          "threads",    "cache",
      "nb201-table", "trajectory", "hessian",         "then-train", "train-epochs",
      "quiet",       "log-every",  "checkpoint-every"};
  return info.role != OptionRole::action && info.role != OptionRole::place &&
         std::find(std::begin(others), std::end(others), info.name) == std::end(others);
}

/// The parts of the absolute path.
std::vector<std::string> parts(const fs::path& folder) {
  std::error_code ignored;
  std::vector<std::string> names;
  for (const fs::path& part : fs::weakly_canonical(fs::absolute(folder), ignored))
    if (!part.empty()) names.push_back(part.string());
  return names;
}

std::string joined(const std::vector<std::string>& names, std::size_t from, std::size_t to) {
  std::string text;
  for (std::size_t i = from; i < to; ++i) text += (i == from ? "" : "/") + names[i];
  return text;
}

/// How many parts at the start all of the paths share, the last of each left out.
std::size_t shared(const std::vector<std::vector<std::string>>& paths) {
  std::size_t count = paths[0].size() - 1;
  for (const auto& path : paths) {
    count = std::min(count, path.size() - 1);
    const auto end = path.begin() + static_cast<std::ptrdiff_t>(count);
    count = static_cast<std::size_t>(std::mismatch(path.begin(), end, paths[0].begin()).first -
                                     path.begin());
  }
  return count;
}

/// "lambda 0.1, method darts": where the group stands among the others.
std::string differences(const SearchOptions& options, const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names)
    text += (text.empty() ? "" : ", ") + name + " " + option_text(options, *find_option(name));
  return text;
}

Json cells_json(const RecordedRun& run) {
  const SearchSpace& space = search_space(run.options.space);
  const std::vector<std::string> ops = space.operations(run.options.none_op);
  const std::vector<std::string> edges = space.edge_labels();
  Json cells = Json::array();
  for (const CellGraph& graph : space.cell_graphs(run.genotype))
    cells.push_back({{"name", graph.name},
                     {"ops", ops},
                     {"edges", edges},
                     {"first_row", cells.size() * edges.size()},
                     {"svg", to_svg(graph)},
                     {"dot", to_dot(graph)}});
  return cells;
}

Json run_json(const RecordedRun& run, const RunLabel& label,
              const std::vector<std::string>& differing) {
  Json config = Json::array();
  for (const GivenOption& option : run.config)
    config.push_back(Json::array({option.name, option.value}));
  std::string command = "./drnas_search";
  for (const std::string& argument : repeat_arguments(run.options))
    command += " " + shell_word(argument);
  const std::int64_t budget = run.options.memory_limit;
  return {{"name", label.name},
          {"group", label.group},
          {"seed", run.options.seed},
          {"config", std::move(config)},
          {"differs", differing},
          {"command", command},
          {"space", run.options.space},
          {"machine", run.machine},
          {"budget_bytes", budget > 0 ? Json(budget) : Json(nullptr)},
          {"cells", cells_json(run)},
          {"genotype", run.genotype},
          {"epochs", run.epochs}};
}

}  // namespace

std::vector<std::string> differing_options(const std::vector<RecordedRun>& runs) {
  std::vector<std::string> names;
  for (const OptionInfo& info : option_table()) {
    const auto other = [&](const RecordedRun& run) {
      return !same_option(run.options, runs.front().options, info);
    };
    if (tells_apart(info) && std::any_of(runs.begin(), runs.end(), other))
      names.emplace_back(info.name);
  }
  return names;
}

std::vector<RunLabel> label_runs(const std::vector<RecordedRun>& runs) {
  const std::vector<std::string> differing = differing_options(runs);
  std::vector<std::vector<std::string>> paths;
  for (const RecordedRun& run : runs) paths.push_back(parts(run.folder));
  const std::size_t root = shared(paths);
  std::vector<RunLabel> labels;
  std::map<std::string, std::vector<std::size_t>> groups;
  for (std::size_t r = 0; r < runs.size(); ++r) {
    labels.push_back({joined(paths[r], root, paths[r].size()), ""});
    groups[differences(runs[r].options, differing)].push_back(r);
  }
  std::map<std::string, int> used;
  for (const auto& [text, members] : groups) {
    std::vector<std::vector<std::string>> own;
    for (const std::size_t r : members) own.push_back(paths[r]);
    const std::size_t common = shared(own);
    // A folder of its own names a group, else what sets it apart, else the folder of all runs.
    std::string name = members.size() == 1 ? labels[members[0]].name
                       : common > root     ? joined(own[0], root, common)
                       : !text.empty()     ? text
                                           : own[0][common == 0 ? 0 : common - 1];
    for (const std::size_t r : members) labels[r].group = name;
    ++used[name];
  }
  for (const auto& [text, members] : groups)
    for (const std::size_t r : members)
      if (used[labels[r].group] > 1) labels[r].group += " (" + text + ")";
  return labels;
}

std::string report_json(const ReportHeader& header, const std::vector<RecordedRun>& runs) {
  const std::vector<std::string> differing = differing_options(runs);
  const std::vector<RunLabel> labels = label_runs(runs);
  Json json = {{"title", header.title},
               {"program", header.program},
               {"created", header.created},
               {"runs", Json::array()}};
  for (std::size_t r = 0; r < runs.size(); ++r)
    json["runs"].push_back(run_json(runs[r], labels[r], differing));
  // A path may hold bytes that are no UTF-8. `<` stands in strings only.
  std::string text;
  for (const char c : json.dump(-1, ' ', false, Json::error_handler_t::replace))
    text += c == '<' ? "\\u003c" : std::string(1, c);
  return text;
}

}  // namespace drnas::tools
