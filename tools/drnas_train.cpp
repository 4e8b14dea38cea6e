// SPDX-License-Identifier: MIT
#include <iostream>

#include "nas/run/signals.h"
#include "nas/training/train.h"
#include "tools/cli/program.h"
#include "tools/cli/train_cli.h"
#include "tools/cli/train_run.h"

namespace drnas::tools {
namespace {

int run(const std::vector<std::string>& arguments) {
  const TrainCommandLine line = parse_train_command_line(arguments, std::cout);
  if (line.answered) return 0;
  if (!line.options.evaluate.empty()) return evaluate_and_report(line.options);
  if (line.options.describe) {
    std::cout << describe_training(line.options);
    return 0;
  }
  if (line.options.dry_run) {
    std::cout << plan_training_run(line.options);
    return 0;
  }
  catch_stop_signals();
  return train_and_report(line.options);
}

}  // namespace
}  // namespace drnas::tools

int main(int argc, char** argv) { return drnas::tools::run_program(argc, argv, drnas::tools::run); }
