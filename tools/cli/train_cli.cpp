// SPDX-License-Identifier: MIT
#include "tools/cli/train_cli.h"

#include <omp.h>

#include "nas/run/run_folder.h"
#include "nas/training/train.h"
#include "tools/cli/command_line.h"

namespace drnas::tools {
namespace {

namespace fs = std::filesystem;

constexpr const char* description =
    "drnas_train: trains a network of a searched cell from scratch and tests it.";

constexpr const char* examples = R"(
An option is taken from the command line, else from --config, else from --preset, else from its default (shown above:
the preset nb201; a genotype of the DARTS space without --preset gets darts-cifar10). All training images train the
weights; the test set is evaluated after every epoch. A run directory holds config.toml (repeats the run), log.jsonl
(one object an epoch), genotype.txt, run.json (what ran it), checkpoint.safetensors and weights.safetensors (for
PyTorch: published names and layout). Ctrl-C writes a checkpoint and ends; --resume goes on from there.

Examples:
  a first training, a few minutes on two cores
    drnas_train --preset quick
  the cell that a search found
    drnas_train --genotype runs/cifar10/genotype.txt --data cifar-10-batches-bin
  the published cell on CIFAR-10: what it costs, then the published training (600 epochs: for a GPU)
    drnas_train --genotype DrNAS_cifar10 --describe
    drnas_train --genotype DrNAS_cifar10 --data cifar-10-batches-bin --out runs/drnas
  a cell of one's own, as NAS-Bench-201 trains it
    drnas_train --genotype '|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|skip_connect~0|none~1|nor_conv_3x3~2|'
  go on with a run that was stopped; test what a run has learnt
    drnas_train --out runs/drnas --resume
    drnas_train --evaluate runs/drnas/checkpoint.safetensors
  ImageNet: DIR/train/<class>/* and DIR/test/<class>/*
    drnas_train --preset darts-imagenet --genotype DrNAS_imagenet --data DIR
)";

fs::path free_run_directory(const TrainOptions& o) {
  return free_path(fs::path("runs") / ("train-" + o.dataset + "-seed" + std::to_string(o.seed)));
}

/// Of the file's training what describes its network and its images, and what was given: a file
/// from elsewhere decides on nothing else.
TrainOptions evaluation_options(const TrainOptions& options,
                                const std::vector<GivenOption>& given) {
  const TrainOptions of_file = stored_train_options(options.evaluate);
  TrainOptions chosen = train_preset_options(of_file.preset);
  for (const char* name : {"genotype", "channels", "cells", "stem", "auxiliary-weight", "dataset",
                           "data", "image-size", "augment"})
    copy_option(chosen, of_file, *find_option_of<TrainOptions>(name));
  chosen.colour_jitter = false;  // of training images, as is cutout
  chosen.cutout = 0;
  apply_options(chosen, given);
  chosen.evaluate = options.evaluate;
  chosen.out = options.evaluate.parent_path() / ".";  // nothing is written
  return chosen;
}

void complete(TrainOptions& options, const std::vector<GivenOption>& given) {
  for (const GivenOption& option : given)  // as of a shell's variable that is not set
    if (option.name == "evaluate" && option.value.empty())
      throw Error("--evaluate: expected a checkpoint or weights file");
  if (!options.evaluate.empty()) {
    for (const GivenOption& option : given)
      for (const char* other : {"resume", "dry-run", "describe", "tensorboard"})
        if (option.name == other)
          throw Error(option.where + ": expected without --evaluate, which only tests");
    options = evaluation_options(options, given);
  } else {
    if (options.resume && options.out.empty())
      throw Error("--resume: expected --out DIR, the run to continue");
    if (options.out.empty()) options.out = free_run_directory(options);
    if (options.resume) options = resume_options(options, given);
  }
  if (options.threads == 0) options.threads = omp_get_num_procs();
  validate_given(options, given);
}

}  // namespace

TrainCommandLine parse_train_command_line(const std::vector<std::string>& arguments,
                                          std::ostream& output) {
  OptionParser<TrainOptions> parser({TrainOptions::program, description, examples},
                                    train_preset_options("nb201"));
  TrainCommandLine line;
  line.answered = !parser.parse(arguments, output);
  if (line.answered) return line;
  std::vector<GivenOption> given = parser.config();
  line.options = resolve_train_options(given, parser.given());
  // Compared with a run's in its published form.
  for (const auto& option : parser.given()) given.push_back(option);
  for (GivenOption& option : given)
    if (option.name == "genotype") option.value = line.options.genotype;
  complete(line.options, given);
  line.options.command = arguments;
  line.options.command.insert(line.options.command.begin(), TrainOptions::program);
  return line;
}

}  // namespace drnas::tools
