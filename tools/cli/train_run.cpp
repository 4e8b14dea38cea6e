// SPDX-License-Identifier: MIT
#include "tools/cli/train_run.h"

#include <iostream>

#include "nas/training/train.h"
#include "tools/cli/progress.h"
#include "tools/cli/text.h"

namespace drnas::tools {
namespace {

std::string test_text(const TestResult& test) {
  return "test  top-1 " + fixed(test.top1, 2) + " %, top-5 " + fixed(test.top5, 2) + " %, loss " +
         fixed(test.loss, 4) + " on " + std::to_string(test.images) + " images\n";
}

void print_result(const TrainResult& result, const TrainOptions& options) {
  if (!options.quiet)
    std::cout << "trained " << result.epochs_done << " epochs, " << duration(result.seconds)
              << "; best top-1 of an epoch " << fixed(result.best_top1, 2) << " %:\n";
  std::cout << test_text(result.test);
  if (options.quiet) return;
  const auto in_run = [&](const char* name) { return shell_word((result.out / name).string()); };
  const std::string train = program_beside("drnas_train");
  std::cout << "what to run next:\n  test it again                " << train << " --evaluate "
            << in_run("weights.safetensors") << "\n  the same with another seed   " << train
            << " --config " << in_run("config.toml") << " --seed " << options.seed + 1
            << " --out NEW_DIR\n  all options, with examples   " << train << " --help\n";
}

}  // namespace

std::string plan_text(const TrainOptions& o) {
  const std::string folder = o.data.empty() ? "" : " in " + o.data.string();
  const std::string images = o.limit_train == 0 ? "all" : std::to_string(o.limit_train);
  const std::string limit =
      o.memory_limit == 0 ? "" : ", at most " + mebibytes(o.memory_limit) + " for tensors";
  return "training  C " + std::to_string(o.channels) + ", " + std::to_string(o.cells) +
         " cells (preset " + o.preset + "), seed " + std::to_string(o.seed) + "\ncell      " +
         o.genotype + "\ndata      " + o.dataset + folder + ", " + images +
         " training images\nrecipe    " + std::to_string(o.epochs) + " epochs, batches of " +
         std::to_string(o.batch_size) + ", learning rate " + value_text(o.learning_rate) + " " +
         o.schedule + "\nmachine   " + o.device + ", " + std::to_string(o.threads) + " threads" +
         limit + "\noutput    " + o.out.string() + "\n";
}

int train_and_report(const TrainOptions& options) {
  TrainResult result;
  {
    TerminalTrainObserver observer(options.quiet, options.log_every);
    observer.on_message(plan_text(options));
    result = run_training(options, observer);
  }
  if (result.interrupted_by_signal) {
    std::cerr << "stopped after " << result.epochs_done
              << " whole epochs; to go on: " << program_beside("drnas_train") << " --out "
              << shell_word(options.out.string()) << " --resume" << std::endl;
    return 128 + result.interrupted_by_signal;
  }
  print_result(result, options);
  return 0;
}

int evaluate_and_report(const TrainOptions& options) {
  TestResult test;
  {
    TerminalTrainObserver observer(options.quiet, options.log_every);
    test = evaluate_training(options, observer);
  }
  std::cout << test_text(test);
  return 0;
}

}  // namespace drnas::tools
