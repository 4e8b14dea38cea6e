// SPDX-License-Identifier: MIT
#include "tools/report/report_runs.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "engine/files.h"
#include "engine/parse_json.h"
#include "nas/options/option_check.h"
#include "nas/options/train_options.h"
#include "nas/search/search_inputs.h"
#include "nas/space/search_space.h"

namespace drnas::tools {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char *log_name = "log.jsonl", *config_name = "config.toml";

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

/// seed-2 before seed-10: digits count as numbers.
bool natural_less(const std::string& a, const std::string& b) {
  const auto digit = [](const std::string& text, std::size_t at) {
    return at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])) != 0;
  };
  const auto digits = [&](const std::string& text, std::size_t& at) {
    const std::size_t first = at;
    while (digit(text, at)) ++at;
    const std::string number = text.substr(first, at - first);
    return number.substr(std::min(number.find_first_not_of('0'), number.size()));
  };
  std::size_t i = 0, k = 0;
  while (i < a.size() && k < b.size()) {
    if (digit(a, i) && digit(b, k)) {
      const std::string x = digits(a, i), y = digits(b, k);
      if (x.size() != y.size()) return x.size() < y.size();
      if (x != y) return x < y;
    } else if (a[i] != b[k]) {
      return a[i] < b[k];
    } else {
      ++i, ++k;
    }
  }
  return a.size() - i < b.size() - k;
}

std::string unfinished(const fs::path& folder) {
  return folder.string() + ": no epoch of the search has ended yet";
}

bool is_training(const fs::path& config) {
  try {
    read_config(config, config_keys<TrainOptions>());
    return true;
  } catch (const Error&) {
    return false;
  }
}

/// The options of a search; none for a training.
std::optional<std::vector<GivenOption>> search_config(const fs::path& config) {
  try {
    return read_config(config, config_keys<SearchOptions>());
  } catch (const Error&) {
    if (is_training(config)) return {};
    throw;
  }
}

/// Throws unless the object is what a search logs of an epoch.
void check_epoch(const Json& epoch, const SearchOptions& options, int before) {
  const SearchSpace& space = search_space(options.space);
  const Json& number = epoch.at("epoch");
  if (!number.is_number_integer() || number != before + 1)
    throw Error("epoch " + number.dump() + ", expected " + std::to_string(before + 1));
  space.parse(epoch.at("genotype").get<std::string>(), "genotype");
  const ThetaShape shape = theta_shape(space, options.none_op);
  const Json& rows = epoch.at("concentrations");
  bool good = rows.is_array() && rows.size() == static_cast<std::size_t>(shape.edges);
  for (const Json& row : rows)
    good = good && row.is_array() && row.size() == static_cast<std::size_t>(shape.operations);
  if (!good)
    throw Error("concentrations of another shape than " + std::to_string(shape.edges) +
                " rows of " + std::to_string(shape.operations));
}

void read_log(RecordedRun& run, std::vector<std::string>& notes) {
  const fs::path file = run.folder / log_name;
  const std::string text = read_text_file(file);
  int number = 1;
  for (std::size_t begin = 0; begin < text.size(); ++number) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    const std::string where = file.string() + " line " + std::to_string(number);
    begin = end + 1;
    const bool cut = end == text.size();  // a line is written together with its end
    if (cut && !Json::accept(line)) {
      notes.push_back(where + ": cut short, left out");
      return;
    }
    try {
      Json epoch = parse_json<Json>(line);
      check_epoch(epoch, run.options, number - 1);
      run.epochs.push_back(std::move(epoch));
    } catch (const std::exception& failure) {
      throw Error(where + ": no epoch of a search: " + json_reason(failure));
    }
  }
}

void read_genotype(RecordedRun& run) {
  const fs::path file = run.folder / "genotype.txt";
  run.genotype = run.epochs.back().at("genotype").get<std::string>();
  if (!is_there(file)) return;
  run.genotype = read_text_file(file);
  run.genotype.erase(run.genotype.find_last_not_of(" \t\r\n") + 1);
  try {
    search_space(run.options.space).parse(run.genotype, "genotype");
  } catch (const Error& failure) {
    throw Error(file.string() + ": " + failure.what());
  }
}

void read_machine(RecordedRun& run) {
  const fs::path file = run.folder / "run.json";
  if (!is_there(file)) return;
  try {
    run.machine = parse_json<Json>(read_text_file(file));
  } catch (const std::exception& failure) {
    throw Error(file.string() + ": no JSON: " + json_reason(failure));
  }
}

class Reader {
 public:
  explicit Reader(std::vector<std::string>& notes) : notes_(notes) {}

  void named(const fs::path& folder) {
    std::error_code ignored;
    if (!is_there(folder)) throw Error("no run in " + folder.string() + ": no such folder");
    if (!fs::is_directory(folder, ignored))
      throw Error("no run in " + folder.string() + ": is no folder, expected that of a search");
    if (is_there(folder / log_name)) return add(folder, true);
    const std::size_t before = runs.size();
    failure_.clear();
    const bool searches = below(folder, 0);
    if (runs.size() > before) return;
    if (!failure_.empty()) throw Error(failure_);
    if (is_there(folder / config_name) && !search_config(folder / config_name))
      fail_training(folder);
    if (searches || is_there(folder / config_name)) throw Error(unfinished(folder));
    throw Error("no run in " + folder.string() + ": neither a " + log_name +
                " nor folders with searches");
  }

  std::vector<RecordedRun> runs;

 private:
  [[noreturn]] static void fail_training(const fs::path& folder) {
    throw Error(folder.string() + " is a training (drnas_train), expected the folder of a search");
  }

  /// Runs in sub-folders; true where there is any search, even without an epoch.
  bool below(const fs::path& folder, int depth) {
    constexpr int deepest = 4;
    if (depth == deepest) return false;
    std::vector<std::string> names;
    std::error_code code, ignored;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, code))
      if (entry.is_directory(ignored) && !entry.is_symlink(ignored))
        names.push_back(entry.path().filename().string());
    if (code) throw Error("cannot read " + folder.string() + ": " + code.message());
    std::sort(names.begin(), names.end(), natural_less);
    bool found = false;
    for (const std::string& name : names) found = within(folder / name, depth) || found;
    return found;
  }

  /// One of the sub-folders. A run that cannot be read is left out, the others are shown.
  bool within(const fs::path& inner, int depth) {
    try {
      const bool search = is_there(inner / config_name) && search_config(inner / config_name);
      if (search && is_there(inner / log_name)) {
        add(inner, false);
        return true;
      }
      if (below(inner, depth + 1)) return true;
      if (search) notes_.push_back(unfinished(inner) + ", left out");
      return search;
    } catch (const Error& failure) {
      if (failure_.empty()) failure_ = failure.what();
      notes_.push_back(std::string(failure.what()) + "; this run is left out");
      return true;
    }
  }

  void add(const fs::path& folder, bool named) {
    std::error_code ignored;
    const fs::path place = fs::weakly_canonical(folder, ignored);
    if (std::find(places_.begin(), places_.end(), place) != places_.end()) return;
    RecordedRun run{folder, {}, {}, {}, "", nullptr};
    const auto config = search_config(folder / config_name);
    if (!config) fail_training(folder);
    run.config = *config;
    run.options = resolve_options(run.config, {});
    validate_given(run.options, run.config);
    read_log(run, notes_);
    if (run.epochs.empty()) {
      if (named) throw Error(unfinished(folder));
      notes_.push_back(unfinished(folder) + ", left out");
      return;
    }
    read_genotype(run);
    read_machine(run);
    places_.push_back(place);
    runs.push_back(std::move(run));
  }

  std::vector<std::string>& notes_;
  std::vector<fs::path> places_;
  std::string failure_;  ///< the first of the runs in sub-folders
};

}  // namespace

std::vector<RecordedRun> read_runs(const std::vector<fs::path>& folders,
                                   std::vector<std::string>& notes) {
  Reader reader(notes);
  for (const fs::path& folder : folders) reader.named(folder);
  return std::move(reader.runs);
}

}  // namespace drnas::tools
