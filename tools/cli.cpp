// SPDX-License-Identifier: MIT
#include "tools/cli.h"

#include <omp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <numeric>
#include <ostream>

#include "kernels/conv2d_plan.h"
#include "kernels/error.h"
#include "nas/option_table.h"
#include "nas/run_directory.h"
#include "nas/version.h"

namespace drnas::tools {
namespace {

namespace fs = std::filesystem;

constexpr const char* description =
    "drnas_search: finds a convolutional network cell with DrNAS (Dirichlet neural architecture "
    "search).";

constexpr const char* examples = R"(
An option is taken from the command line, else from --config, else from --preset, else from its default (shown above:
the preset nb201). A run directory holds config.toml (repeats the run), log.jsonl (one object an epoch), genotype.txt
(the cell) and checkpoint.safetensors. Ctrl-C writes a checkpoint and ends; --resume goes on from there.

Examples:
  a first search, a few minutes on two cores
    drnas_search --preset quick
  the published search on CIFAR-10, with the accuracy of each epoch's cell from a table
    drnas_search --data cifar-10-batches-bin --nb201-table nas_bench_201.csv --out runs/cifar10
  the same, smaller and faster, for four seeds, with their mean and deviation
    drnas_search --data cifar-10-batches-bin --cells 1 --epochs 25 --limit-train 20000 --seeds 1,2,3,4 --out runs/seeds
  go on with a run that was stopped
    drnas_search --out runs/cifar10 --resume
  repeat a run
    drnas_search --config runs/cifar10/config.toml --out runs/again
  images of one's own: DIR/train/<class>/* and DIR/test/<class>/*
    drnas_search --dataset image-folder --data DIR --image-size 32
)";

/// Number of single-character edits between two words.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

[[noreturn]] void fail_unknown(const std::string& argument) {
  if (!argument.starts_with("-")) {
    throw Error("unexpected argument '" + argument +
                "', expected options that start with -- (--help lists them)");
  }
  std::string name = argument.substr(0, argument.find('='));
  name.erase(0, name.find_first_not_of('-'));
  std::replace(name.begin(), name.end(), '_', '-');
  const auto table = option_table();
  const auto nearest =
      std::min_element(table.begin(), table.end(), [&](const OptionInfo& a, const OptionInfo& b) {
        return edit_distance(a.name, name) < edit_distance(b.name, name);
      });
  const bool near = !name.empty() && edit_distance(nearest->name, name) <= 1 + name.size() / 4;
  throw Error("unknown option " + argument + ", expected " +
              (near ? "--" + std::string(nearest->name) : "one of those that --help lists"));
}

/// CLI11 collects names and values; the option table gives them meaning.
class Parser {
 public:
  Parser() : app_(description, "drnas_search") {
    app_.footer(examples);
    app_.allow_extras();
    app_.get_formatter()->column_width(36);
    app_.set_help_flag("-h,--help", "print this text")->group("Run");
    app_.add_flag("--version", version_, "print versions of program and libraries")->group("Run");
    app_.add_option("--config", config_,
                    "read options from a TOML file (keys are option names without --)")
        ->type_name("FILE")
        ->group("Run");
    const SearchOptions defaults;
    for (const OptionInfo& info : option_table()) add(info, defaults);
  }

  /// False when --help or --version was asked for and printed.
  bool parse(std::vector<std::string> arguments, std::ostream& output) {
    std::reverse(arguments.begin(), arguments.end());  // the order that CLI11 wants
    try {
      app_.parse(std::move(arguments));
    } catch (const CLI::CallForHelp&) {
      output << app_.help();
      return false;
    } catch (const CLI::ParseError& error) {
      std::string line = error.what();
      std::replace(line.begin(), line.end(), '\n', ' ');
      throw Error(line + " (--help explains the options)");
    }
    if (version_) output << version_text();
    if (version_) return false;
    if (const auto unknown = app_.remaining(); !unknown.empty()) fail_unknown(unknown.front());
    return true;
  }

  const std::string& config() const { return config_; }
  const std::vector<GivenOption>& given() const { return given_; }

 private:
  void add(const OptionInfo& info, const SearchOptions& defaults) {
    const std::string name = "--" + std::string(info.name), help(info.help);
    const auto keep = [this, name, key = std::string(info.name)](const std::string& value) {
      given_.push_back({key, value, name});
    };
    CLI::Option* option = nullptr;
    if (std::holds_alternative<bool SearchOptions::*>(info.member)) {
      option = app_.add_flag_function(
          name, [keep](std::int64_t count) { keep(count > 0 ? "true" : "false"); }, help);
    } else {
      option = app_.add_option_function<std::string>(name, keep, help)
                   ->type_name(std::string(info.value))
                   ->default_str(option_text(defaults, info))
                   ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    }
    option->group(std::string(info.group));
  }

  CLI::App app_;
  bool version_ = false;
  std::string config_;
  std::vector<GivenOption> given_;
};

/// The first of runs/<data>-<method>-seed<N>, ...-2, ...-3 that does not exist.
fs::path free_run_directory(const SearchOptions& options) {
  const std::string seed = options.seeds.empty() ? "seed" + std::to_string(options.seed) : "seeds";
  const fs::path base = fs::path("runs") / (options.dataset + "-" + options.method + "-" + seed);
  fs::path path = base;
  for (int number = 2; fs::exists(path); ++number)
    path = base.string() + "-" + std::to_string(number);
  return path;
}

void complete(SearchOptions& options, const std::vector<GivenOption>& given) {
  if (options.resume && options.out.empty())
    throw Error("--resume: expected --out DIR, the run to continue");
  if (options.out.empty()) options.out = free_run_directory(options);
  if (options.resume) options = resume_options(options, given);
  if (options.threads == 0) options.threads = omp_get_num_procs();
  options.validate();
}

}  // namespace

CommandLine parse_command_line(const std::vector<std::string>& arguments, std::ostream& output) {
  Parser parser;
  CommandLine line;
  line.answered = !parser.parse(arguments, output);
  if (line.answered) return line;
  std::vector<GivenOption> given;
  if (!parser.config().empty()) given = read_config(parser.config());
  line.options = resolve_options(given, parser.given());
  given.insert(given.end(), parser.given().begin(), parser.given().end());
  complete(line.options, given);
  return line;
}

std::string version_text() {
  return std::string("drnas_search ") + version() + "\ncommit    " + git_commit() + "\ncompiler  " +
         compiler() + "\noneDNN    " + kernels::onednn_version() + "\ndevice    " +
         cuda_versions() + "\n";
}

}  // namespace drnas::tools
