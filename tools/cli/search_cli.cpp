// SPDX-License-Identifier: MIT
#include "tools/cli/search_cli.h"

#include <omp.h>

#include "nas/options/option_table.h"
#include "nas/run/run_folder.h"
#include "tools/cli/command_line.h"

namespace drnas::tools {
namespace {

namespace fs = std::filesystem;

constexpr const char* description =
    "drnas_search: finds a convolutional network cell with DrNAS (Dirichlet neural architecture "
    "search).";

constexpr const char* examples = R"(
An option is taken from the command line, else from --config, else from --preset, else from its default (shown above:
the preset nb201). A run directory holds config.toml (repeats the run), log.jsonl (one object an epoch), genotype.txt
(the cell), run.json (what ran it) and checkpoint.safetensors; with --select selection.jsonl (one object a decision).
Ctrl-C writes a checkpoint and ends; --resume goes on from there.

Examples:
  a first search, a few minutes on two cores
    drnas_search --preset quick
  the published search on CIFAR-10, with the accuracy of each epoch's cell in the benchmark's table
    drnas_search --data cifar-10-batches-bin --out runs/cifar10
  the same, smaller and faster, for four seeds, with their mean and deviation
    drnas_search --data cifar-10-batches-bin --cells 1 --epochs 25 --limit-train 20000 --seeds 1,2,3,4 --out runs/seeds
  search and then train the cell that was found
    drnas_search --data cifar-10-batches-bin --out runs/cifar10 --then-train
  see what a search does or did, as a page in a browser (runs/cifar10/report.html)
    drnas_report runs/cifar10
  go on with a run that was stopped
    drnas_search --out runs/cifar10 --resume
  repeat a run
    drnas_search --config runs/cifar10/config.toml --out runs/again
  read the cell of a search that has ended off by what the supernet loses without each operation
    drnas_search --out runs/cifar10 --resume --select perturbation
  time each operation on this machine, then search for a cell that is fast on it
    drnas_search --measure-latency times.json
    drnas_search --data cifar-10-batches-bin --cost latency:times.json --cost-weight 0.1 --out runs/fast
  images of one's own: DIR/train/<class>/* and DIR/test/<class>/*
    drnas_search --dataset image-folder --data DIR --image-size 32
)";

/// The first of runs/<data>-<method>-seed<N>, ...-2, ...-3 that does not exist.
fs::path free_run_directory(const SearchOptions& options) {
  const std::string seed = options.seeds.empty() ? "seed" + std::to_string(options.seed) : "seeds";
  return free_path(fs::path("runs") / (options.dataset + "-" + options.method + "-" + seed));
}

void complete(SearchOptions& options, const std::vector<GivenOption>& given) {
  if (options.resume && options.out.empty())
    throw Error("--resume: expected --out DIR, the run to continue");
  if (options.out.empty()) options.out = free_run_directory(options);
  if (options.resume) options = resume_options(options, given);
  if (options.threads == 0) options.threads = omp_get_num_procs();
  validate_given(options, given);
}

}  // namespace

CommandLine parse_command_line(const std::vector<std::string>& arguments, std::ostream& output) {
  OptionParser<SearchOptions> parser({SearchOptions::program, description, examples},
                                     SearchOptions{});
  CommandLine line;
  line.answered = !parser.parse(arguments, output);
  if (line.answered) return line;
  std::vector<GivenOption> given = parser.config();
  line.options = resolve_options(given, parser.given());
  given.insert(given.end(), parser.given().begin(), parser.given().end());
  complete(line.options, given);
  line.options.command = arguments;
  line.options.command.insert(line.options.command.begin(), SearchOptions::program);
  return line;
}

}  // namespace drnas::tools
