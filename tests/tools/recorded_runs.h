// SPDX-License-Identifier: MIT
// Run folders written as a search writes them, and reports of them.
#pragma once

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/files.h"
#include "nas/options/option_table.h"
#include "nas/run/run_folder.h"
#include "nas/search/search_events.h"
#include "nas/search/search_inputs.h"
#include "nas/space/architecture.h"
#include "nas/space/search_space.h"
#include "tests/support/reference.h"
#include "tools/report/report_cli.h"

namespace drnas::test {

using Json = nlohmann::json;
namespace fs = std::filesystem;

inline constexpr const char* cell_text =
    "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|avg_pool_3x3~0|nor_conv_1x1~1|nor_conv_3x3~2|";

inline SearchOptions options_at(const fs::path& out, std::uint64_t seed = 2) {
  SearchOptions options;
  options.data = "images";
  options.threads = 2;
  options.seed = seed;
  options.out = out;
  return options;
}

inline EpochRecord random_epoch(std::mt19937_64& rng, const SearchOptions& options, int epoch) {
  const SearchSpace& space = search_space(options.space);
  const ThetaShape shape = theta_shape(space, options.none_op);
  std::uniform_real_distribution<double> value(0.001, 1.0);
  EpochRecord record;
  record.epoch = epoch;
  record.learning_rate = value(rng);
  record.train_loss = value(rng);
  record.val_loss = epoch == 2 ? NAN : value(rng);
  for (int row = 0; row < shape.edges; ++row) {
    record.concentrations.emplace_back();
    for (int op = 0; op < shape.operations; ++op)
      record.concentrations.back().push_back(value(rng));
  }
  record.genotype = space.derive(record.concentrations, options.none_op).genotype;
  record.peak_bytes = static_cast<std::int64_t>(rng() % (1ll << 40));
  record.seconds = {{"train", value(rng)}};
  record.warnings = {"a <b> & \"c\""};
  return record;
}

/// Writes a run of so many epochs as a search does; the lines of its log.
inline std::vector<std::string> write_run(const SearchOptions& options, int epochs,
                                          std::uint64_t test = 1) {
  std::mt19937_64 rng = generator(test);
  fs::create_directories(options.out.parent_path());
  const RunFolder run = RunFolder::open(options);
  std::vector<std::string> lines;
  for (int epoch = 1; epoch <= epochs; ++epoch) {
    const EpochRecord record = random_epoch(rng, options, epoch);
    run.append_log(to_json(record));
    run.write_genotype(record.genotype);
    lines.push_back(to_json(record));
  }
  return lines;
}

inline void append(const fs::path& file, const std::string& text) {
  std::ofstream(file, std::ios::app) << text;
}

struct Report {
  std::string page, output, notes;
  Json data;
};

/// Runs drnas_report and reads the page's data back.
inline Report report(const std::vector<std::string>& arguments) {
  std::ostringstream output, notes;
  const auto line = tools::parse_report_command_line(arguments, output);
  tools::write_report(line, output, notes);
  Report made{read_text_file(line.out), output.str(), notes.str(), {}};
  const std::string open = "<script type=\"application/json\" id=\"data\">";
  const std::size_t begin = made.page.find(open) + open.size();
  made.data = Json::parse(made.page.substr(begin, made.page.find("</script>", begin) - begin));
  return made;
}

inline std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++found;
  return found;
}

}  // namespace drnas::test
