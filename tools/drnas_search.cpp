// SPDX-License-Identifier: MIT
#include <iostream>

#include "data/dataset_info.h"
#include "nas/run/run_folder.h"
#include "nas/run/signals.h"
#include "nas/search/measure_latency.h"
#include "nas/search/search.h"
#include "nas/search/search_inputs.h"
#include "nas/space/search_space.h"
#include "tools/cli/plan.h"
#include "tools/cli/program.h"
#include "tools/cli/progress.h"
#include "tools/cli/search_cli.h"
#include "tools/cli/seeds.h"
#include "tools/cli/text.h"
#include "tools/cli/then_train.h"
#include "tools/drawing/cell_text.h"

namespace drnas::tools {
namespace {

/// Trains what was found on the images that it was found with.
std::string training_command(const SearchOptions& o) {
  return program_beside("drnas_train") + (o.preset == "quick" ? " --preset quick" : "") +
         " --genotype " + shell_word((o.out / "genotype.txt").string()) + " --dataset " +
         o.dataset + (o.data.empty() ? "" : " --data " + shell_word(o.data.string())) +
         (dataset_info(o.dataset).side == 0 ? " --image-size " + std::to_string(o.image_size) : "");
}

void print_cell(const FoundCell& cell) {
  std::cout << cell.genotype << "\n";
  if (cell.table)
    std::cout << "test accuracy in the table of the space: " << accuracies(*cell.table) << " %\n"
              << place_text(*cell.place) << "\n";
  if (cell.cost) std::cout << cost_text(*cell.cost) << "\n";
}

void print_result(const SearchResult& result, const SearchOptions& options) {
  if (!options.quiet) {
    std::cout << "found after " << result.epochs_done << " epochs, " << duration(result.seconds)
              << (result.stopped_on.empty()
                      ? ""
                      : ", stopped on the warning '" + result.stopped_on + "', the cell of epoch " +
                            std::to_string(result.genotype_epoch))
              << ":\n";
  }
  print_cell(result);
  if (result.argmax) {
    const bool same = result.argmax->genotype == result.genotype;
    std::cout << (options.select == "sampled"
                      ? "the best of " + std::to_string(options.select_cells) + " sampled cells"
                      : "selected by " + options.select)
              << "; argmax gives" << (same ? " the same cell\n" : "\n");
    if (!same) print_cell(*result.argmax);
  }
  if (options.quiet) return;
  for (const CellGraph& graph : search_space(options.space).cell_graphs(result.genotype))
    std::cout << cell_text(graph, locale_is_utf8());
  if (options.then_train) return;
  const std::string search = program_beside("drnas_search");
  std::cout << "what to run next:\n  see the search as a page     "
            << program_beside("drnas_report") << " " << shell_word(options.out.string())
            << "\n  train what was found         " << training_command(options)
            << "\n  the same with another seed   " << search << " --config "
            << shell_word((options.out / "config.toml").string()) << " --seed " << options.seed + 1
            << " --out NEW_DIR\n";
  if (options.preset == "quick") {
    std::cout << "  the published search         " << search
              << " --preset nb201 --data CIFAR10_DIR\n";
  }
  std::cout << "  all options, with examples   " << search << " --help\n";
}

SearchResult search(const SearchOptions& options) {
  TerminalObserver observer(options.quiet, options.log_every);
  observer.on_message(plan_text(options));
  return run_search(options, observer);
}

/// 0, or the exit status of a process that the signal has ended, with a line that says how to go
/// on.
int stop_status(const SearchResult& result, const std::filesystem::path& out) {
  if (result.interrupted_by_signal == 0) return 0;
  std::cerr << "stopped after " << result.epochs_done
            << " whole epochs; to go on: " << program_beside("drnas_search") << " --out "
            << shell_word(out.string()) << " --resume" << std::endl;
  return 128 + result.interrupted_by_signal;
}

int search_one(const SearchOptions& options) {
  const SearchResult result = search(options);
  const int status = stop_status(result, options.out);
  if (status != 0) return status;
  print_result(result, options);
  return options.then_train ? train_found(options, result.genotype) : 0;
}

/// OUT holds the configuration of all, so that --resume knows it for the seeds still to come.
int search_seeds(const SearchOptions& options) {
  const RunFolder directory = RunFolder::open(options);
  if (std::filesystem::exists(directory.checkpoint_path()))
    throw Error(directory.checkpoint_path().string() +
                ": belongs to one search, expected no seeds in the config.toml beside it");
  std::vector<SearchResult> results;
  for (const std::uint64_t seed : options.seeds) {
    results.push_back(search(options_for_seed(options, seed)));
    const int status = stop_status(results.back(), directory.path());
    if (status != 0) return status;
  }
  std::cout << seeds_summary(options.seeds, results);
  if (!options.quiet)
    std::cout << "see all of them as one page: drnas_report "
              << shell_word(directory.path().string()) << "\n";
  return 0;
}

int run(const std::vector<std::string>& arguments) {
  const CommandLine line = parse_command_line(arguments, std::cout);
  if (line.answered) return 0;
  if (line.options.dry_run) {
    std::cout << plan_search(line.options);
    return 0;
  }
  if (line.options.plan) {
    std::cout << plan_search_memory(line.options);
    return 0;
  }
  if (!line.options.measure_latency.empty()) {
    const bool quiet = line.options.quiet;
    const auto tell = [&](const std::string& text) {
      if (!quiet) std::cout << text << std::endl;
    };
    std::cout << measure_latency(line.options, tell) << "\n";
    return 0;
  }
  catch_stop_signals();
  return line.options.seeds.empty() ? search_one(line.options) : search_seeds(line.options);
}

}  // namespace
}  // namespace drnas::tools

int main(int argc, char** argv) { return drnas::tools::run_program(argc, argv, drnas::tools::run); }
